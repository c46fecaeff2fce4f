/* SPDX-License-Identifier: MIT */
/*
 * A server that is stopped: whoever faults waits, and so does a fork, as long as it
 * lasts; SIGCONT goes on as if nothing had been.  SIGKILL of a stopped server frees
 * them all.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define NR 16
#define TURNS 6

static char *p;

static void step(int n)
{
	pid_t pid;

	if (n == 0) {
		lab_fill(p, NR, 1);
	} else if (n == 1) {
		p[0]++;
		p[PAGE]++;
	} else if (n == 2) {
		pid = fork();
		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

/* Serves for ever. */
static pid_t server(int fd)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	for (;;) {
		struct uffd_msg m;

		if (!uffd_readable(fd, 1000))
			continue;
		m = uffd_next(fd);
		if (m.event == UFFD_EVENT_FORK)
			close((int)m.arg.fork.ufd);
		else
			uffd_lift_soon(fd, (void *)(m.arg.pagefault.address & ~(PAGE - 1)), 1);
	}
}

static void stop(pid_t pid)
{
	int status;

	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
}

/* last: what it does when its server is killed. */
static void turn(int last)
{
	struct subject s = subject_serve(step);
	pid_t pid;

	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	pid = server(s.uffd);
	subject_step(&s, 1);
	for (int n = 1; n <= 2; n++) {
		stop(pid);
		check(uffd_protect(s.uffd, p, NR) == 0, "protect");
		subject_tell(&s, n);
		check(!subject_done(&s, 50), "step %d went on without a server", n);
		kill(pid, SIGCONT);
		check(subject_done(&s, 10000), "step %d does not go on", n);
	}
	stop(pid);
	check(uffd_protect(s.uffd, p, NR) == 0, "protect");
	subject_tell(&s, last);
	check(!subject_done(&s, 20), "step %d went on without a server", last);
	/* Only the server's own copy is left. */
	close(s.uffd);
	s.uffd = -1;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(subject_done(&s, 10000), "step %d is not freed by the kill", last);
	subject_step(&s, 2);
	subject_end(&s);
}

int main(void)
{
	p = lab_map(NR);
	for (int i = 0; i < TURNS; i++)
		turn(1 + i % 2);
	return lab_result();
}
