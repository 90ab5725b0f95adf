/* SPDX-License-Identifier: MIT */
#include "finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void finding(const char *format, ...)
{
	va_list arguments;

	fflush(stderr);
	va_start(arguments, format);
	vdprintf(2, format, arguments);
	va_end(arguments);
	dprintf(2, "\n");
	abort();
}
