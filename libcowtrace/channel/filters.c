/* SPDX-License-Identifier: MIT */
/*
 * Counting seccomp filters.  Asking the kernel by prctl(PR_GET_SECCOMP) or
 * seccomp() would be simpler, and fatal under a filter that forbids them.
 *
 * Invariant: no system call but openat, read and close.
 */
#include <fcntl.h>
#include <string.h>

#include "base/rawsys.h"
#include "channel/filters.h"

/* The number after "\nKEY:\t"; 0 where the line is not there. */
static u32 field(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	u32 n = 0;

	if (!at)
		return 0;
	for (at += strlen(key); *at >= '0' && *at <= '9'; at++)
		n = n * 10 + (u32)(*at - '0');
	return n;
}

u32 ct_filters_count(void)
{
	char text[4096]; /* the lines wanted are in the last third of some 1500 bytes */
	long fd, n, len = 0;

	fd = ct_sys4(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	do {
		n = ct_sys3(SYS_read, fd, text + len, sizeof(text) - 1 - (size_t)len);
		if (n > 0)
			len += n;
	} while (n > 0 && len < (long)sizeof(text) - 1);
	ct_sys1(SYS_close, fd);
	text[len] = '\0';
	n = field(text, "\nSeccomp_filters:\t");
	if (!n)
		n = field(text, "\nSeccomp:\t") != 0;
	return (u32)n;
}
