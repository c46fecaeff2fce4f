/* SPDX-License-Identifier: MIT */
/*
 * Settings of the kernel, one small file each.  Reads only.
 *
 * Invariant: what is not a number, or not there, is an error and never 0.
 */
#include "sys/setting.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int read_line(const char *path, char *text, size_t len)
{
	ct_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, len - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return *text ? 0 : -EINVAL;
}

int ct_setting_number(const char *path, s64 *ret)
{
	char text[32], *end;
	int err = read_line(path, text, sizeof(text));
	long long v;

	if (err)
		return err;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || *end)
		return -EINVAL;
	*ret = v;
	return 0;
}

int ct_setting_word(const char *path, char *ret, size_t len)
{
	char text[128], *from = text, *open;
	int err = read_line(path, text, sizeof(text));

	if (err)
		return err;
	open = strchr(text, '[');
	if (open) {
		from = open + 1;
		from[strcspn(from, "]")] = 0;
	}
	from[strnlen(from, len - 1)] = 0;
	strcpy(ret, from);
	return 0;
}
