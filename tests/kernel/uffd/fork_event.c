/* SPDX-License-Identifier: MIT */
/*
 * From the moment when a process forks until EVENT_FORK has been read:
 *
 *   the forking thread sleeps, the child has no pid and has not run;
 *   fdinfo says "pending: 0" while poll says POLLIN: the next read is an event;
 *   every WRITEPROTECT, of both kinds, is -EAGAIN; REGISTER and WAKE are not;
 *   other threads run on: their faults come, and are read before the older event.
 *
 * Afterwards the refusals end by themselves; a child runs then.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define NR 8
#define TURNS 40

enum { CHILD_RAN, FORKED, WRITE, WRITTEN };

static char *p;

static void *writer(void *arg)
{
	for (uint64_t turn = 1;; turn++) {
		while (shared[WRITE] != turn)
			usleep(100);
		p[PAGE] = (char)turn;
		shared[WRITTEN] = turn;
	}
	return NULL;
}

static void step(int n)
{
	pthread_t t;
	pid_t pid;

	if (n == 0) {
		lab_fill(p, NR, 1);
		pthread_create(&t, NULL, writer, NULL);
	} else if (n == 1) {
		pid = fork();
		if (pid == 0) {
			shared[CHILD_RAN]++;
			_exit(0);
		}
		shared[FORKED]++;
		waitpid(pid, NULL, 0);
	}
}

static bool has_children(pid_t pid)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	return lab_read_text(path, text, sizeof(text)) && text[0];
}

static void nothing_moves(struct subject *s, uint64_t turn)
{
	check(shared[CHILD_RAN] == turn && shared[FORKED] == turn, "the fork went on");
	check(!has_children(s->pid), "the child has a pid");
	check(uffd_protect(s->uffd, p, NR) == -EAGAIN, "protected while an event waits");
	check(uffd_lift(s->uffd, p, 1, true) == -EAGAIN, "lifted while an event waits");
	check(uffd_register(s->uffd, p, NR) == 0, "REGISTER is refused");
	/* Of a page where nobody waits: the writer would come a second time. */
	check(uffd_wake(s->uffd, p, 1) == 0, "WAKE is refused");
	check(pages_protected(s->pagemap, p, NR) == NR, "a page lost its protection");
}

static double turn(struct subject *s, uint64_t nr)
{
	struct uffd_msg msg;
	double since;
	int child;

	uffd_arm(s->uffd, p, NR);
	subject_tell(s, 1);
	check(uffd_readable(s->uffd, 10000), "no event");
	check(uffd_pending(s->uffd) == 0, "pending: %u", uffd_pending(s->uffd));
	nothing_moves(s, nr);
	shared[WRITE] = nr + 1;
	while (uffd_pending(s->uffd) == 0)
		usleep(100);
	usleep(2000);
	nothing_moves(s, nr);
	msg = uffd_next(s->uffd);
	check(msg.event == UFFD_EVENT_PAGEFAULT && msg.arg.pagefault.address == (uintptr_t)p + PAGE,
	      "the event came before the fault");
	check(uffd_pending(s->uffd) == 0 && uffd_readable(s->uffd, 0), "the event has gone");
	child = uffd_next_fork(s->uffd);
	since = lab_now();
	check(uffd_lift_soon(s->uffd, p + PAGE, 1) == 0, "refused for ever");
	since = lab_now() - since;
	shared_wait(WRITTEN, nr + 1);
	check(subject_done(s, 10000), "the fork does not end");
	check(shared[CHILD_RAN] == nr + 1 && shared[FORKED] == nr + 1, "the child did not run");
	check(!uffd_readable(s->uffd, 0), "a second message");
	close(child);
	return since;
}

int main(void)
{
	double most = 0, t;
	struct subject s;

	p = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	for (uint64_t i = 0; i < TURNS; i++) {
		t = turn(&s, i);
		most = t > most ? t : most;
	}
	printf("after the reading, WRITEPROTECT is refused for %.0f us at most of %d forks\n",
	       most * 1e6, TURNS);
	subject_end(&s);
	return lab_result();
}
