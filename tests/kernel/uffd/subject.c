/* SPDX-License-Identifier: MIT */
/*
 * A process that obeys, its userfaultfd, and the calls on it.
 * Invariant: a subject ends with us, and never holds its own userfaultfd.
 */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../census/scan.h"

#define PATIENCE_MS 10000

_Atomic uint64_t *shared;

static int open_device(void)
{
	int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		lab_skip("no /dev/userfaultfd for us: %s (root, Linux 6.1)", strerror(errno));
	return fd;
}

static void send_fd(int sock, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, 0) != 1)
		lab_die("send a descriptor");
}

static int receive_fd(int sock)
{
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof(room),
	};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 || !(c = CMSG_FIRSTHDR(&msg)))
		lab_die("the subject gave no userfaultfd");
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static _Noreturn void subject_main(int sock, int device, void (*step)(int n))
{
	char byte = 0;
	int n, fd;

	/* A group of its own: what it forks ends with it. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	step(-1);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes it back */
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		lab_die("USERFAULTFD_IOC_NEW");
	send_fd(sock, fd);
	close(fd);
	close(device);
	if (write(sock, &byte, 1) != 1)
		_exit(1);
	while (read(sock, &n, sizeof(n)) == sizeof(n)) {
		step(n);
		if (write(sock, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

struct subject subject_start(void (*step)(int n))
{
	struct subject s;
	int sv[2], device = open_device();

	if (!shared)
		shared = mmap(NULL, NR_SHARED * sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		lab_die("shared memory");
	memset((void *)shared, 0, NR_SHARED * sizeof(*shared));
	fflush(stdout);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		lab_die("socketpair");
	s.pid = fork();
	if (s.pid < 0)
		lab_die("fork");
	if (s.pid == 0) {
		close(sv[0]);
		subject_main(sv[1], device, step);
	}
	close(sv[1]);
	close(device);
	s.sock = sv[0];
	s.uffd = receive_fd(s.sock);
	/* It has closed its own by now. */
	if (!subject_done(&s, PATIENCE_MS))
		lab_die("the subject does not start");
	s.pagemap = lab_pagemap(s.pid);
	return s;
}

struct subject subject_serve(void (*step)(int n))
{
	struct subject s = subject_start(step);
	int r = uffd_api(s.uffd, FEATURES);

	if (r == -EINVAL || r == -EPERM)
		lab_skip("userfaultfd has not all features here: %s", strerror(-r));
	if (r < 0)
		lab_die("UFFDIO_API: %d", r);
	return s;
}

void subject_tell(struct subject *s, int n)
{
	if (write(s->sock, &n, sizeof(n)) != sizeof(n))
		lab_die("the subject has gone");
}

bool subject_done(struct subject *s, int ms)
{
	struct pollfd p = { .fd = s->sock, .events = POLLIN };
	char byte;

	return poll(&p, 1, ms) == 1 && read(s->sock, &byte, 1) == 1;
}

void subject_step(struct subject *s, int n)
{
	subject_tell(s, n);
	if (!subject_done(s, PATIENCE_MS))
		lab_die("step %d does not end", n);
}

void subject_end(struct subject *s)
{
	kill(-s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->sock);
	close(s->pagemap);
	if (s->uffd >= 0)
		close(s->uffd);
}

bool page_protected(int pagemap, const void *p)
{
	return lab_entry(pagemap, p) & PM_UFFD_WP;
}

size_t pages_protected(int pagemap, const char *p, size_t nr_pages)
{
	size_t nr = 0;

	for (size_t i = 0; i < nr_pages; i++)
		nr += page_protected(pagemap, p + i * PAGE);
	return nr;
}

bool page_huge(int pagemap, const void *p)
{
	return scan_page(pagemap, p) & SCAN_HUGE;
}

void thread_syscall(pid_t pid, pid_t tid, char *ret, size_t len)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
	if (!lab_read_text(path, ret, len))
		lab_die("read %s", path);
}

long thread_place(pid_t pid, pid_t tid, uint64_t *ret_pc, uint64_t *ret_sp)
{
	unsigned long long sp, pc, arg[6];
	char text[256];
	long nr;

	thread_syscall(pid, tid, text, sizeof(text));
	if (sscanf(text, "-1 %llx %llx", &sp, &pc) == 2)
		nr = -1;
	else if (sscanf(text, "%ld %llx %llx %llx %llx %llx %llx %llx %llx", &nr, &arg[0], &arg[1],
			&arg[2], &arg[3], &arg[4], &arg[5], &sp, &pc) != 9)
		lab_die("cannot understand: %s", text);
	*ret_pc = pc;
	*ret_sp = sp;
	return nr;
}

int nr_vmas(pid_t pid, const void *p, size_t nr_pages)
{
	uint64_t from = (uintptr_t)p, to = from + nr_pages * PAGE;
	unsigned long long start, end;
	char path[64], line[512];
	int nr = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx", &start, &end) == 2 && start < to && end > from)
			nr++;
	}
	if (f)
		fclose(f);
	return nr;
}

void shared_wait(int i, uint64_t v)
{
	for (int ms = 0; shared[i] != v; ms++) {
		if (ms == PATIENCE_MS)
			lab_die("word %d does not become %llu", i, (unsigned long long)v);
		usleep(1000);
	}
}
