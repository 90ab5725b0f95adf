/* SPDX-License-Identifier: MIT */
#ifndef PORTUNUS_EXPORT_H
#define PORTUNUS_EXPORT_H

/* The library is built with everything hidden; a declaration that bears PORTUNUS_EXPORT is part of the interface. */
#define PORTUNUS_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
#define PORTUNUS_BEGIN_DECLS		   extern "C" {
#define PORTUNUS_END_DECLS		   }
#define PORTUNUS_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define PORTUNUS_BEGIN_DECLS
#define PORTUNUS_END_DECLS
#define PORTUNUS_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

#endif
