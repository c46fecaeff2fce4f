/* SPDX-License-Identifier: MIT */
/*
 * forkload's story.  Six processes, five forks:
 *
 *   P --F1--> A --F2--> G       A ends by exit() while G lives on
 *   P --F3--> B                 ends by quick_exit()
 *   P --F4--> C                 ends by exec
 *   P --F5--> D                 with --kill: killed while it sleeps
 *
 * Every region is sixteen slots of equal size.  Within a step, processes run
 * at the same time, on different slots; a step begins when all of the one
 * before has ended.  So every count is known by construction.
 */
#include "forkload.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum step {
	A_BEGUN, /* A has done its first writes */
	P_FIRST,
	A_BEFORE_P, /* A has written the slot that P writes after it */
	P_AFTER_A,
	A_AFTER_P,
	P_DROPPED,
	A_DROPPED,
	A_MAY_FORK,
	A_FORKED, /* G exists */
	G_BEGUN,
	B_BEGUN,
	A_MAY_WRITE,
	A_DONE,
	A_MAY_GO,
	G_MAY_WRITE,
	G_DONE,
	G_MAY_GO,
	B_MAY_GO,
	D_BEGUN,
};

static void step_wait(struct fl *fl, enum step s)
{
	while (!atomic_load(&fl->steps[s]))
		syscall(SYS_futex, &fl->steps[s], FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void step_done(struct fl *fl, enum step s)
{
	atomic_store(&fl->steps[s], 1);
	syscall(SYS_futex, &fl->steps[s], FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* One slot of every region that is written to, or of one. */
static void slot_of(struct fl *fl, enum fl_proc_id p, int region, uint32_t slot)
{
	uint32_t n = fl->regions[region].pages / 16;

	fl_write(fl, p, region, slot * n, n);
}

static void slot(struct fl *fl, enum fl_proc_id p, uint32_t nr)
{
	for (int r = 0; r < FL_NR_REGIONS; r++) {
		if (r != FL_DROP)
			slot_of(fl, p, r, nr);
	}
}

static void leave_model(struct fl *fl, enum fl_proc_id p)
{
	fl_settle(fl, p);
	fl_model_gone(fl, p);
}

/* The ways to lose a page, on slots of the region that is there for it. */
static void drops(struct fl *fl, enum fl_proc_id p, uint32_t slot_nr)
{
	uint32_t n = fl->regions[FL_DROP].pages / 16, at = slot_nr * n;

	fl_drop(fl, p, FL_DROP, at, n);	    /* gone for good */
	fl_drop(fl, p, FL_DROP, at + n, n); /* and touched again: a drop and a new page */
	fl_write(fl, p, FL_DROP, at + n, n / 2);
	fl_map_over(fl, p, FL_DROP, at + 2 * n, n);
	fl_write(fl, p, FL_DROP, at + 2 * n, n / 2);
	fl_unmap(fl, p, FL_DROP, at + 3 * n, n);
}

/* Part of a huge page goes: the rest of the unit stays shared, mapped by PTEs. */
static void drop_part_of_huge(struct fl *fl, enum fl_proc_id p)
{
	uint32_t n = fl->regions[FL_THP].pages / 16;

	if (!n)
		return;
	fl_drop(fl, p, FL_THP, 15 * n, n / 2);
	fl_write(fl, p, FL_THP, 15 * n, n / 4);
}

static void run_g(struct fl *fl)
{
	close(fl->life[0]);
	slot(fl, FL_G, 4);
	drops(fl, FL_G, 8);
	step_done(fl, G_BEGUN);
	step_wait(fl, G_MAY_WRITE);
	slot(fl, FL_G, 11);
	step_done(fl, G_DONE);
	step_wait(fl, G_MAY_GO);
	leave_model(fl, FL_G);
	_exit(0);
}

static void run_a(struct fl *fl)
{
	slot(fl, FL_A, 1);
	step_done(fl, A_BEGUN);
	step_wait(fl, P_FIRST);
	slot(fl, FL_A, 2);
	fl_drain();
	step_done(fl, A_BEFORE_P);
	step_wait(fl, P_AFTER_A);
	slot(fl, FL_A, 3);
	step_done(fl, A_AFTER_P);
	step_wait(fl, P_DROPPED);
	drops(fl, FL_A, 4);
	drop_part_of_huge(fl, FL_A);
	fl_move(fl, FL_A, FL_REMAP);
	step_done(fl, A_DROPPED);
	step_wait(fl, A_MAY_FORK);
	if (!fl_fork(fl, FL_A, FL_G))
		run_g(fl);
	close(fl->life[1]);
	slot(fl, FL_A, 5);
	step_done(fl, A_FORKED);
	step_wait(fl, A_MAY_WRITE);
	slot(fl, FL_A, 8);
	step_done(fl, A_DONE);
	step_wait(fl, A_MAY_GO);
	leave_model(fl, FL_A);
	exit(0);
}

static void run_b(struct fl *fl)
{
	close(fl->life[1]);
	slot(fl, FL_B, 7);
	step_done(fl, B_BEGUN);
	step_wait(fl, B_MAY_GO);
	leave_model(fl, FL_B);
	quick_exit(0);
}

static void run_c(struct fl *fl)
{
	close(fl->life[1]);
	slot(fl, FL_C, 10);
	leave_model(fl, FL_C);
	execl("/bin/true", "true", (char *)NULL);
	_exit(1);
}

static void run_d(struct fl *fl)
{
	slot(fl, FL_D, 1);
	step_done(fl, D_BEGUN);
	for (;;)
		pause();
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return status;
}

/* Two processes, every page still there at the end: the case without page frames that is exact. */
static void pair(struct fl *fl)
{
	pid_t a = fl_fork(fl, FL_P, FL_A);

	if (!a) {
		slot(fl, FL_A, 1);
		step_done(fl, A_BEGUN);
		step_wait(fl, P_FIRST);
		slot(fl, FL_A, 3);
		leave_model(fl, FL_A);
		_exit(0);
	}
	slot(fl, FL_P, 0);
	slot(fl, FL_P, 14);
	step_wait(fl, A_BEGUN);
	slot(fl, FL_P, 3);
	fl_drain();
	step_done(fl, P_FIRST);
	if (reap(a))
		fl_die("A");
	fl_over(fl, FL_P);
}

/* P and A alone. */
static pid_t act_one(struct fl *fl)
{
	pid_t a = fl_fork(fl, FL_P, FL_A);

	if (!a)
		run_a(fl);
	slot(fl, FL_P, 0);
	slot(fl, FL_P, 14);
	step_wait(fl, A_BEGUN);
	step_done(fl, P_FIRST);
	step_wait(fl, A_BEFORE_P);
	slot(fl, FL_P, 2); /* A's copy left P the only owner: reused */
	slot(fl, FL_P, 3);
	fl_drain();
	step_done(fl, P_AFTER_A);
	step_wait(fl, A_AFTER_P);
	drops(fl, FL_P, 0);
	fl_move(fl, FL_P, FL_REMAP);
	slot_of(fl, FL_P, FL_REMAP, 15);
	fl_keep_from_forks(fl, FL_P, FL_DONTFORK);
	step_done(fl, P_DROPPED);
	step_wait(fl, A_DROPPED);
	return a;
}

/* G below A, then B beside both. */
static pid_t act_two(struct fl *fl)
{
	pid_t b;

	step_done(fl, A_MAY_FORK);
	step_wait(fl, A_FORKED);
	step_wait(fl, G_BEGUN);
	b = fl_fork(fl, FL_P, FL_B);
	if (!b)
		run_b(fl);
	step_done(fl, A_MAY_WRITE);
	slot(fl, FL_P, 6);
	slot(fl, FL_P, 14); /* once more: this time it is B's fork that it belongs to */
	step_wait(fl, B_BEGUN);
	step_wait(fl, A_DONE);
	return b;
}

/* C comes and goes, A goes, G and B stay. */
static void act_three(struct fl *fl, pid_t a)
{
	pid_t c = fl_fork(fl, FL_P, FL_C);

	if (!c)
		run_c(fl);
	slot(fl, FL_P, 9);
	if (reap(c))
		fl_die("C");
	slot(fl, FL_P, 12); /* shared with B still; the newest fork that shared it is C's */
	step_done(fl, A_MAY_GO);
	if (reap(a))
		fl_die("A");
	step_done(fl, G_MAY_WRITE);
	step_wait(fl, G_DONE);
}

static void act_killed(struct fl *fl)
{
	pid_t d = fl_fork(fl, FL_P, FL_D);

	if (!d)
		run_d(fl);
	slot(fl, FL_P, 5);
	step_wait(fl, D_BEGUN);
	kill(d, SIGKILL);
	reap(d);
	fl_over(fl, FL_P);
	fl_model_gone(fl, FL_D);
}

static void tree(struct fl *fl)
{
	pid_t a, b;
	char c;

	a = act_one(fl);
	b = act_two(fl);
	act_three(fl, a);
	step_done(fl, B_MAY_GO);
	if (reap(b))
		fl_die("B");
	/* Two that go at the same instant leave a tracer no time to see who was the last. */
	usleep(50000);
	/* G is the last to share with P: its end of the pipe closes after its memory has gone. */
	close(fl->life[1]);
	step_done(fl, G_MAY_GO);
	while (read(fl->life[0], &c, 1) < 0 && errno == EINTR)
		;
	fl_drain();
	fl_over(fl, FL_P);
	/* At once, and counted for nobody: reused, for nobody shares it, and dropped. */
	slot(fl, FL_P, 13);
	drops(fl, FL_P, 12);
}

int fl_scenario(struct fl *fl)
{
	if (fl->pair)
		pair(fl);
	else
		tree(fl);
	if (fl->kill)
		act_killed(fl);
	return atomic_load(&fl->nr_errors) ? -1 : 0;
}
