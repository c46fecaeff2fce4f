/* SPDX-License-Identifier: MIT */
/*
 * Readers of small kernel text files: no stdio, one growing buffer.
 *
 * A seq_file hands out about a page a read, however large the buffer is, so a
 * file is read in a loop until a read returns nothing.
 *
 * Invariant: after every function buf is valid and NUL-terminated or empty.
 */
#include "sys/procfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TEXT_FIRST (32u << 10)
#define TEXT_MAX (1u << 30)

int ct_proc_open(pid_t pid, const char *name, int *ret_fd)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	*ret_fd = fd;
	return 0;
}

static int textbuf_room(struct ct_textbuf *buf, size_t need)
{
	size_t cap = buf->cap ? buf->cap : TEXT_FIRST;
	char *text;

	while (cap < need)
		cap *= 2;
	if (cap == buf->cap)
		return 0;
	if (cap > TEXT_MAX)
		return -EFBIG;
	text = realloc(buf->text, cap);
	if (!text)
		return -ENOMEM;
	buf->text = text;
	buf->cap = cap;
	return 0;
}

int ct_textbuf_read_fd(struct ct_textbuf *buf, int fd)
{
	size_t len = 0;
	ssize_t n;
	int r;

	buf->len = 0;
	for (;;) {
		/* A page and more: the kernel gives what fits, and a short read costs a call. */
		r = textbuf_room(buf, len + 2 * CT_PAGE_SIZE);
		if (r < 0)
			break;
		n = pread(fd, buf->text + len, buf->cap - len - 1, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = -errno;
			break;
		}
		if (n == 0) {
			buf->len = len;
			break;
		}
		len += (size_t)n;
	}
	if (buf->text)
		buf->text[buf->len] = '\0';
	return r;
}

int ct_textbuf_read_proc(struct ct_textbuf *buf, pid_t pid, const char *name)
{
	ct_auto_fd int fd = -1;
	int r;

	buf->len = 0;
	r = ct_proc_open(pid, name, &fd);
	return r < 0 ? r : ct_textbuf_read_fd(buf, fd);
}

int ct_textbuf_read_path(struct ct_textbuf *buf, const char *path)
{
	ct_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	buf->len = 0;
	if (fd < 0)
		return -errno;
	return ct_textbuf_read_fd(buf, fd);
}

void ct_textbuf_fini(struct ct_textbuf *buf)
{
	free(buf->text);
	*buf = (struct ct_textbuf){ 0 };
}

bool ct_parse_u64(const char **p, u64 *ret)
{
	const char *s = *p;
	u64 v = 0;

	while (*s == ' ' || *s == '\t')
		s++;
	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (u64)(*s - '0'), &v))
			return false;
	}
	*p = s;
	*ret = v;
	return true;
}

const char *ct_text_find_key(const char *text, const char *key)
{
	size_t n = strlen(key);

	while (text && *text) {
		if (strncmp(text, key, n) == 0)
			return text + n;
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}
