/* SPDX-License-Identifier: MIT */
/* A server and its clients: the worker is the server, its clients are processes or threads, whoever the contestant is.
 *
 * In each turn the active clients draw operations from one counter until it is empty; the time runs from the first
 * client's first operation until the server has answered the last client's request to leave. */
#ifndef BENCH_HALL_H
#define BENCH_HALL_H

#include "work.h"

/* The functions of a side; its arg is a pairing. */
void *hall_open(const void *pairing);
double hall_run(void *hall, uint64_t n);
void hall_figures(void *hall, double *out);
void hall_close(void *hall);

/* Bytes for each client, in the server; hall_figures() tells the others. */
double hall_memory(void *hall, uint64_t n);

/* What a client's process does. */
void hall_client_main(void);

#endif
