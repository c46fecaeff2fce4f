/* SPDX-License-Identifier: MIT */
/*
 * A userfaultfd whose memory has gone, by exec or by the end of the process: the calls
 * say -ESRCH (REGISTER and UNREGISTER: -ENOMEM), a read that there is nothing, poll
 * nothing at all.  A thread that is killed while it waits leaves no message behind.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define NR 4

static char *p;

static void step(int n)
{
	if (n == 0)
		lab_fill(p, NR, 1);
	else if (n == 1)
		execl("/bin/sleep", "sleep", "1000", NULL);
	else if (n == 2)
		p[0] = 2;
}

static void is_gone(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;
	int r;

	r = uffd_protect(fd, p, NR);
	check(r == -ESRCH, "protect: %d", r);
	r = uffd_lift(fd, p, NR, true);
	check(r == -ESRCH, "lift: %d", r);
	r = uffd_register(fd, p, NR);
	check(r == -ENOMEM, "register: %d", r);
	r = uffd_unregister(fd, p, NR);
	check(r == -ENOMEM, "unregister: %d", r);
	check(uffd_wake(fd, p, NR) == 0, "wake");
	check(poll(&poll_fd, 1, 0) == 0, "poll: %#x", (unsigned int)poll_fd.revents);
	check(read(fd, &msg, sizeof(msg)) == -1 && errno == EAGAIN, "read");
}

int main(void)
{
	struct subject s;

	p = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	subject_tell(&s, 1);
	/* The socket is close-on-exec: its end is the exec's. */
	check(!subject_done(&s, 10000), "exec");
	is_gone(s.uffd);
	subject_end(&s);

	s = subject_serve(step);
	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	subject_tell(&s, 2);
	check(uffd_readable(s.uffd, 10000), "no message");
	kill(s.pid, SIGKILL);
	waitpid(s.pid, NULL, 0);
	is_gone(s.uffd);
	subject_end(&s);
	return lab_result();
}
