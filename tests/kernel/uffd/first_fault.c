/* SPDX-License-Identifier: MIT */
/*
 * EVENT_FORK brings no pid.  The child's first message does: with all of its private
 * anonymous memory protected, the kernel's own write of its thread id (fork in libc
 * asks for that) faults before any of its code has run: thread id = pid, system call
 * clone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define TURNS 10

enum { CHILD };

static void step(int n)
{
	pid_t pid;

	if (n != 1)
		return;
	pid = fork();
	if (pid == 0) {
		shared[CHILD] = (uint64_t)getpid();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

/* Every private anonymous VMA that can be written. */
static int arm_all(struct subject *s)
{
	unsigned long long start, end, inode;
	char path[64], line[512], perms[8];
	int nr = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)s->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx %7s %*x %*s %llu", &start, &end, perms, &inode) != 4)
			continue;
		if (inode || strcmp(perms, "rw-p") || strstr(line, "[v"))
			continue;
		uffd_arm(s->uffd, (void *)(uintptr_t)start, (end - start) / PAGE);
		nr++;
	}
	if (f)
		fclose(f);
	return nr;
}

/* Serves parent and child until the step is done. */
static void serve(struct subject *s, int child)
{
	int fds[2] = { s->uffd, child };

	while (!subject_done(s, 0)) {
		for (int i = 0; i < 2; i++) {
			struct uffd_msg m;

			if (!uffd_readable(fds[i], 1))
				continue;
			m = uffd_next(fds[i]);
			uffd_lift_soon(fds[i], (void *)(m.arg.pagefault.address & ~(PAGE - 1)), 1);
		}
	}
}

static int next_fork(struct subject *s)
{
	for (;;) {
		struct uffd_msg m = uffd_next(s->uffd);

		if (m.event == UFFD_EVENT_FORK)
			return (int)m.arg.fork.ufd;
		uffd_lift_soon(s->uffd, (void *)(m.arg.pagefault.address & ~(PAGE - 1)), 1);
	}
}

int main(void)
{
	struct subject s = subject_serve(step);

	subject_step(&s, 0);
	for (int i = 0; i < TURNS; i++) {
		struct uffd_msg m;
		uint64_t pc, sp;
		pid_t tid;
		int child;
		long nr;

		shared[CHILD] = 0;
		check(arm_all(&s) >= 2, "no heap, no stack");
		subject_tell(&s, 1);
		child = next_fork(&s);
		m = uffd_next(child);
		tid = (pid_t)m.arg.pagefault.feat.ptid;
		check(shared[CHILD] == 0, "code of the child ran before its first message");
		nr = thread_place(tid, tid, &pc, &sp);
		check(nr == SYS_clone, "system call %ld, not clone", nr);
		uffd_lift_soon(child, (void *)(m.arg.pagefault.address & ~(PAGE - 1)), 1);
		serve(&s, child);
		check(shared[CHILD] == (uint64_t)tid, "thread %d, but the child is %" PRIu64,
		      (int)tid, shared[CHILD]);
		close(child);
	}
	subject_end(&s);
	return lab_result();
}
