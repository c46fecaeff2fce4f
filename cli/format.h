/* SPDX-License-Identifier: MIT */
/* Numbers for people.  What is unknown is "?". */
#ifndef CT_CLI_FORMAT_H
#define CT_CLI_FORMAT_H

#include "base/base.h"

struct ct_text {
	char s[32];
};

struct ct_text ct_format_count(u64 n);		     /* "47,923" */
struct ct_text ct_format_pages(u64 pages);	     /* "187.2 MiB" */
struct ct_text ct_format_bytes(u64 len);	     /* the same of bytes */
struct ct_text ct_format_share(u64 part, u64 whole); /* "13.3%"; "" of nothing */
struct ct_text ct_format_ns(u64 ns);		     /* "12.1 ms" */

#endif
