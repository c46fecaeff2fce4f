/* SPDX-License-Identifier: MIT */
/*
 * Threads that write the same page at once: a message each, with its own thread id
 * and address; one lift that wakes wakes them all; one wake after a lift that did not,
 * too.  A wake of another page wakes nobody.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "subject.h"

#define WRITERS 4
#define TURNS 20

static char *p;

static void *writer(void *arg)
{
	*(char *)arg = 2;
	return NULL;
}

static void step(int n)
{
	pthread_t t[WRITERS];

	if (n == 0)
		lab_fill(p, 2, 1);
	if (n != 1)
		return;
	for (size_t i = 0; i < WRITERS; i++)
		pthread_create(&t[i], NULL, writer, p + i * 64);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
}

static void turn(struct subject *s, bool wake)
{
	uint64_t seen = 0;
	uint32_t tid[WRITERS];

	uffd_arm(s->uffd, p, 2);
	subject_tell(s, 1);
	while (uffd_pending(s->uffd) < WRITERS)
		usleep(100);
	for (int i = 0; i < WRITERS; i++) {
		struct uffd_msg m = uffd_next(s->uffd);

		seen |= 1ULL << (m.arg.pagefault.address - (uintptr_t)p) / 64;
		tid[i] = m.arg.pagefault.feat.ptid;
		for (int k = 0; k < i; k++)
			check(tid[k] != tid[i], "one thread twice");
	}
	check(seen == (1 << WRITERS) - 1, "addresses: %#llx", (unsigned long long)seen);
	check(uffd_lift(s->uffd, p, 1, wake) == 0, "lift");
	if (!wake) {
		check(uffd_wake(s->uffd, p + PAGE, 1) == 0, "wake of the neighbour");
		check(!subject_done(s, 5), "somebody was woken");
		check(uffd_wake(s->uffd, p, 1) == 0, "wake");
	}
	check(subject_done(s, 10000), "not all are awake");
	check(!uffd_readable(s->uffd, 0), "another message");
}

int main(void)
{
	struct subject s;

	p = lab_map(2);
	s = subject_serve(step);
	subject_step(&s, 0);
	for (int i = 0; i < TURNS; i++) {
		turn(&s, true);
		turn(&s, false);
	}
	subject_end(&s);
	return lab_result();
}
