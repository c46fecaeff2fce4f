/* SPDX-License-Identifier: MIT */
/*
 * pidfds, and facts of /proc/PID.  Pids are reused: whoever needs to be sure
 * opens the pidfd first, reads, and then asks the pidfd whether it still lives.
 *
 * Invariant: an exit status is returned only for the very process behind the pidfd.
 */
#include "sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "sys/procfile.h"
#include "sys/uapi.h"

int ct_pidfd_open(pid_t pid, int *ret_fd)
{
	/* The kernel sets close-on-exec by itself. */
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* 0 with the status; -EAGAIN: not reaped yet (or alive); -ENOTSUP: this kernel cannot say. */
static int status_from_info(int pidfd, int *ret_wstatus)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_EXIT };

	if (ioctl(pidfd, PIDFD_GET_INFO, &info) < 0)
		return errno == ENOTTY || errno == EINVAL || errno == ESRCH ? -ENOTSUP : -errno;
	if (!(info.mask & PIDFD_INFO_EXIT))
		return -EAGAIN;
	*ret_wstatus = info.exit_code;
	return 0;
}

/* The pid as this process sees it, -1 when it has been reaped. */
static int pidfd_pid(int pidfd, s64 *ret_pid)
{
	struct ct_textbuf buf = { 0 };
	char path[64];
	const char *p;
	u64 pid;
	int r;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	r = ct_textbuf_read_path(&buf, path);
	if (r == 0) {
		p = ct_text_find_key(buf.text, "Pid:");
		*ret_pid = p && ct_parse_u64(&p, &pid) ? (s64)pid : -1;
	}
	ct_textbuf_fini(&buf);
	return r;
}

/* The n-th field of /proc/PID/stat counted from the state, which is 0. */
static const char *stat_field(const char *stat, unsigned int n)
{
	/* comm may hold blanks and parentheses: the last one ends it. */
	const char *p = strrchr(stat, ')');

	if (!p || p[1] != ' ')
		return NULL;
	p += 2;
	while (n-- > 0) {
		p = strchr(p, ' ');
		if (!p)
			return NULL;
		p++;
	}
	return p;
}

/* A zombie shows its status in the last field of its stat, to whoever may trace it. */
static int status_from_stat(int pidfd, int *ret_wstatus)
{
	struct ct_textbuf buf = { 0 };
	const char *p;
	s64 pid, again = -1;
	u64 status = 0;
	int r;

	r = pidfd_pid(pidfd, &pid);
	if (r < 0)
		return r;
	if (pid <= 0)
		return -ENOTSUP;
	r = ct_textbuf_read_proc(&buf, (pid_t)pid, "stat");
	if (r < 0)
		goto out;
	r = -ENOTSUP;
	p = stat_field(buf.text, 0);
	if (!p || *p != 'Z')
		goto out;
	p = stat_field(buf.text, 49);
	if (!p || !ct_parse_u64(&p, &status))
		goto out;
	/* Reaped meanwhile: the stat may have been another process's. */
	if (pidfd_pid(pidfd, &again) == 0 && again == pid) {
		*ret_wstatus = (int)status;
		r = 0;
	}
out:
	ct_textbuf_fini(&buf);
	return r == -ESRCH ? -ENOTSUP : r;
}

int ct_pidfd_exit_status(int pidfd, int *ret_wstatus)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int r, info;

	if (poll(&pfd, 1, 0) < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (!(pfd.revents & POLLIN))
		return -EAGAIN;
	info = status_from_info(pidfd, ret_wstatus);
	if (info != -EAGAIN && info != -ENOTSUP)
		return info;
	r = status_from_stat(pidfd, ret_wstatus);
	/* Reaped between the two questions: now the first one has an answer. */
	if (r == -ENOTSUP && info == -EAGAIN)
		r = status_from_info(pidfd, ret_wstatus);
	return r == -EAGAIN ? -ENOTSUP : r;
}

int ct_proc_comm(pid_t pid, char *buf, size_t len)
{
	ct_auto_fd int fd = -1;
	ssize_t n;
	int r = ct_proc_open(pid, "comm", &fd);

	if (r < 0)
		return r;
	if (len == 0)
		return -EINVAL;
	n = read(fd, buf, len - 1);
	if (n < 0)
		return -errno;
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return 0;
}

int ct_proc_exe(pid_t pid, char *buf, size_t len)
{
	char path[64];
	ssize_t n;

	if (len == 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, buf, len);
	if (n < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if ((size_t)n == len)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return 0;
}

static int status_parse(const char *text, struct ct_proc_status *st)
{
	const char *state = ct_text_find_key(text, "State:\t");
	const char *ppid = ct_text_find_key(text, "PPid:");
	const char *uid = ct_text_find_key(text, "Uid:");
	const char *seccomp = ct_text_find_key(text, "Seccomp:");
	u64 v;

	if (!state || !ppid || !uid || !ct_parse_u64(&ppid, &v))
		return -EINVAL;
	st->zombie = *state == 'Z' || *state == 'X';
	st->stopped = *state == 'T' || *state == 't';
	st->running = *state == 'R';
	st->ppid = (pid_t)v;
	if (!ct_parse_u64(&uid, &v))
		return -EINVAL;
	st->uid = (uid_t)v;
	/* 0 none, 1 strict, 2 filter; no line: a kernel without seccomp. */
	st->seccomp = seccomp && ct_parse_u64(&seccomp, &v) && v != 0;
	return 0;
}

int ct_proc_status_read(pid_t pid, struct ct_proc_status *ret)
{
	struct ct_proc_status st = { 0 };
	struct ct_textbuf buf = { 0 };
	const char *p;
	int r;

	r = ct_textbuf_read_proc(&buf, pid, "status");
	if (r == 0)
		r = status_parse(buf.text, &st);
	if (r == 0)
		r = ct_textbuf_read_proc(&buf, pid, "stat");
	if (r == 0) {
		p = stat_field(buf.text, 19);
		r = p && ct_parse_u64(&p, &st.start_ticks) ? 0 : -EINVAL;
	}
	if (r == 0)
		*ret = st;
	ct_textbuf_fini(&buf);
	return r;
}

int ct_proc_sizes_read(pid_t pid, int *fd, struct ct_proc_sizes *ret)
{
	u64 v[6]; /* size resident shared text lib data */
	char text[128];
	const char *p = text;
	ssize_t n;
	int i, r = *fd < 0 ? ct_proc_open(pid, "statm", fd) : 0;

	if (r < 0)
		return r;
	n = pread(*fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	for (i = 0; i < 6; i++) {
		while (*p == ' ')
			p++;
		if (!ct_parse_u64(&p, &v[i]))
			return -EINVAL;
	}
	*ret = (struct ct_proc_sizes){ .total = v[0], .text = v[3], .data = v[5] };
	return 0;
}

pid_t ct_proc_tracer(pid_t pid)
{
	static const char name[] = "\nTracerPid:";
	ct_auto_fd int fd = -1;
	char text[2048], *at;
	ssize_t n;
	int r = ct_proc_open(pid, "status", &fd);

	if (r < 0)
		return r;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	at = strstr(text, name);
	return at ? (pid_t)atoi(at + sizeof(name) - 1) : -ENODATA;
}
