/* SPDX-License-Identifier: MIT */
/*
 * mremap of registered memory: an event with from, to and length, until which is read
 * the thread waits and WRITEPROTECT is -EAGAIN; the range stays registered and its pages
 * protected, at the new place.  What it grows by is registered too.  A shrink, and a
 * growth in place, are no move: no event.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"

#define NR 8
#define TURNS 20

enum { RESULT };

static char *from, *to;

static void step(int n)
{
	if (n == 0) {
		lab_fill(from, NR, 1);
	} else if (n == 1) {
		shared[RESULT] = (uintptr_t)mremap(from, NR * PAGE, 2 * NR * PAGE,
						   MREMAP_MAYMOVE | MREMAP_FIXED, to);
	} else if (n == 2) {
		to[PAGE] = 2;
		to[NR * PAGE] = 2;
	} else if (n == 3) {
		shared[RESULT] = (uintptr_t)mremap(to, 2 * NR * PAGE, NR * PAGE, 0);
	}
}

static void move(struct subject *s)
{
	struct uffd_msg msg;
	int r;

	subject_tell(s, 1);
	check(uffd_readable(s->uffd, 10000) && uffd_pending(s->uffd) == 0, "no event");
	check(!subject_done(s, 5), "mremap went on");
	check(uffd_protect(s->uffd, to, NR) == -EAGAIN, "protected meanwhile");
	msg = uffd_next(s->uffd);
	check(msg.event == UFFD_EVENT_REMAP && msg.arg.remap.from == (uintptr_t)from &&
		      msg.arg.remap.to == (uintptr_t)to,
	      "event %#x from %#llx to %#llx", msg.event, (unsigned long long)msg.arg.remap.from,
	      (unsigned long long)msg.arg.remap.to);
	check(msg.arg.remap.len == NR * PAGE, "length %llu", (unsigned long long)msg.arg.remap.len);
	check(subject_done(s, 10000) && shared[RESULT] == (uintptr_t)to, "mremap");
	check(pages_protected(s->pagemap, to, NR) == NR, "%zu pages are protected",
	      pages_protected(s->pagemap, to, NR));
	/* The page grown by is filled without a message, the old one asks. */
	subject_tell(s, 2);
	msg = uffd_next(s->uffd);
	check(msg.event == UFFD_EVENT_PAGEFAULT &&
		      msg.arg.pagefault.address == (uintptr_t)to + PAGE,
	      "event %#x", msg.event);
	r = uffd_lift_soon(s->uffd, to + PAGE, 1);
	check(r == 0, "lift: %d", r);
	check(subject_done(s, 10000), "the write does not go on");
	check(uffd_protect(s->uffd, to + NR * PAGE, NR) == 0, "the growth is not registered");
	subject_step(s, 3);
	check(!uffd_readable(s->uffd, 0), "an event of a shrink");
}

int main(void)
{
	for (int i = 0; i < TURNS; i++) {
		struct subject s;

		from = lab_map(NR);
		to = lab_map(2 * NR);
		s = subject_serve(step);
		subject_step(&s, 0);
		uffd_arm(s.uffd, from, NR);
		move(&s);
		subject_end(&s);
		munmap(from, NR * PAGE);
		munmap(to, 2 * NR * PAGE);
	}
	return lab_result();
}
