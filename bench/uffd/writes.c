/* SPDX-License-Identifier: MIT */
/*
 * What a first write of a shared page costs, as the writing program sees it: prints
 * the time of each in ns, as a JSON list.
 *
 *   writes PAGES PAUSE [spin|poll|none]
 *
 * A child shares PAGES pages and sleeps; the parent writes to each of them once, PAUSE us
 * apart.  spin, poll: a process of our own serves them by a bare userfaultfd: it
 * waits, reads a message, lifts the protection, and does nothing else.  It is what
 * any tracer by userfaultfd costs at least.  spin looks again and again, poll sleeps.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static char *pages_make(size_t nr)
{
	char *p = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap of %zu pages", nr);
	madvise(p, nr * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < nr; i++)
		p[i * PAGE] = 1;
	return p;
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
		err(1, "sendmsg");
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
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		err(1, "recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void lift(int fd, uint64_t at)
{
	struct uffdio_writeprotect arg = { .range = { .start = at & ~(PAGE - 1), .len = PAGE } };

	while (ioctl(fd, UFFDIO_WRITEPROTECT, &arg) < 0 && errno == EAGAIN)
		;
}

static __attribute__((noreturn)) void serve(int fd, int sleeps)
{
	struct uffd_msg m;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		if (sleeps)
			poll(&p, 1, -1);
		if (read(fd, &m, sizeof(m)) != sizeof(m))
			continue;
		/* The child's descriptor is kept: closed, it would unprotect the child. */
		if (m.event == UFFD_EVENT_PAGEFAULT)
			lift(fd, m.arg.pagefault.address);
	}
}

static __attribute__((noreturn)) void server(int sock, char *p, size_t nr, int sleeps)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_FORK |
			    UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_THREAD_ID,
	};
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)p, .len = nr * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect arg = { .range = reg.range,
					   .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = receive_fd(sock);
	if (ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &reg) < 0 ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &arg) < 0)
		err(1, "userfaultfd");
	if (write(sock, "", 1) != 1)
		err(1, "write");
	serve(fd, sleeps);
}

/* The pages are there already, and protected when this returns. */
static pid_t server_start(char *p, size_t nr, int sleeps)
{
	int sv[2], dev, fd;
	pid_t pid;
	char b;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		err(1, "socketpair");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		/* The server shares nothing with its parent: else each write would copy twice. */
		munmap(p, nr * PAGE);
		server(sv[1], p, nr, sleeps);
	}
	close(sv[1]);
	dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	fd = dev < 0 ? -1 : ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		err(1, "/dev/userfaultfd");
	send_fd(sv[0], fd);
	close(fd);
	close(dev);
	if (read(sv[0], &b, 1) != 1)
		errx(1, "no server");
	close(sv[0]);
	return pid;
}

static pid_t sharer_start(int *ret_end)
{
	int end[2];
	pid_t pid;
	char b;

	if (pipe(end) < 0)
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		close(end[1]);
		_exit(read(end[0], &b, 1) != 0);
	}
	close(end[0]);
	*ret_end = end[1];
	return pid;
}

int main(int argc, char **argv)
{
	size_t nr = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	useconds_t pause_us = argc > 2 ? (useconds_t)strtoul(argv[2], NULL, 10) : 0;
	const char *how = argc > 3 ? argv[3] : "none";
	pid_t serving = 0, sharing;
	uint64_t *times, t;
	char *p;
	int end;

	if (!nr)
		errx(2, "usage: writes PAGES PAUSE [spin|poll|none]");
	/* Not copied on write itself. */
	times = mmap(NULL, nr * sizeof(*times), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (times == MAP_FAILED)
		err(1, "mmap");
	p = pages_make(nr);
	if (strcmp(how, "none"))
		serving = server_start(p, nr, !strcmp(how, "poll"));
	sharing = sharer_start(&end);
	usleep(50000);
	for (size_t i = 0; i < nr; i++) {
		if (pause_us)
			usleep(pause_us);
		t = now_ns();
		p[i * PAGE]++;
		times[i] = now_ns() - t;
	}
	close(end);
	waitpid(sharing, NULL, 0);
	printf("[");
	for (size_t i = 0; i < nr; i++)
		printf("%s%lu", i ? "," : "", (unsigned long)times[i]);
	printf("]\n");
	fflush(stdout);
	if (serving)
		kill(serving, SIGKILL);
	_exit(0);
}
