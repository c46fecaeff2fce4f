/* SPDX-License-Identifier: MIT */
/*
 * An error with its sentence.  Functions that can fail for a reason that a user
 * must act on take a `struct ct_err *` (never NULL) besides returning -errno:
 * the text is one line without a final full stop that says what to do.
 */
#ifndef CT_BASE_ERR_H
#define CT_BASE_ERR_H

#include <stdarg.h>
#include <stdio.h>

#include "base/base.h"

struct ct_err {
	char text[512];
};

static inline ct_printf(3, 4) int ct_err_set(struct ct_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

#endif
