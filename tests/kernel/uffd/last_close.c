/* SPDX-License-Identifier: MIT */
/*
 * The last descriptor of a userfaultfd is closed, as when its server dies: every
 * thread that waits in it goes on, every page loses its protection, a fork whose event
 * nobody has read goes through, its child is free as well, and a later fork meets
 * nothing.  Whoever still holds a copy keeps all of them waiting.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define NR 16
#define WRITERS 4
#define TURNS 20

enum { CHILD_OK, FORKED };

static char *p;

static void *writer(void *arg)
{
	*(char *)arg = 2;
	return NULL;
}

static void writers(void)
{
	pthread_t t[WRITERS];

	for (size_t i = 0; i < WRITERS; i++)
		pthread_create(&t[i], NULL, writer, p + i * PAGE);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
}

static void forks(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		lab_fill(p, NR, 3);
		shared[CHILD_OK]++;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	lab_fill(p, NR, 4);
	shared[FORKED]++;
}

static void step(int n)
{
	if (n == 0)
		lab_fill(p, NR, 1);
	else if (n == 1)
		writers();
	else if (n == 2)
		forks();
}

static void die(struct subject *s)
{
	int copy = dup(s->uffd);

	close(s->uffd);
	s->uffd = -1;
	check(!subject_done(s, 2), "it went on while a copy is open");
	close(copy);
	check(subject_done(s, 10000), "it still waits");
	check(pages_protected(s->pagemap, p, NR) == 0, "%zu pages are still protected",
	      pages_protected(s->pagemap, p, NR));
}

static void waiters(void)
{
	struct subject s = subject_serve(step);

	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	subject_tell(&s, 1);
	while (uffd_pending(s.uffd) < WRITERS)
		usleep(100);
	/* One of them has been read, and is known to nobody now. */
	uffd_next(s.uffd);
	die(&s);
	/* Nothing is left of it: a fork, and writes of both sides. */
	subject_step(&s, 2);
	check(shared[CHILD_OK] == 1 && shared[FORKED] == 1, "fork after the death");
	subject_end(&s);
}

static void unread_fork(void)
{
	struct subject s = subject_serve(step);

	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	subject_tell(&s, 2);
	check(uffd_readable(s.uffd, 10000), "no event");
	die(&s);
	check(shared[CHILD_OK] == 1 && shared[FORKED] == 1, "the fork did not end well");
	subject_step(&s, 2);
	subject_end(&s);
}

static void read_fork(void)
{
	struct subject s = subject_serve(step);
	int child;

	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	subject_tell(&s, 2);
	child = uffd_next_fork(s.uffd);
	check(uffd_readable(child, 10000), "the child does not fault");
	check(shared[CHILD_OK] == 0, "the child went on");
	close(child);
	shared_wait(CHILD_OK, 1);
	/* The parent has reaped it and waits for its own page. */
	check(uffd_readable(s.uffd, 10000), "the parent does not fault");
	die(&s);
	check(shared[FORKED] == 1, "the parent did not end well");
	subject_end(&s);
}

int main(void)
{
	p = lab_map(NR);
	for (int i = 0; i < TURNS; i++) {
		waiters();
		unread_fork();
		read_fork();
	}
	return lab_result();
}
