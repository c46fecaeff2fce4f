/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/task/TID/syscall of a thread that waits in a fault: "-1 SP PC" where the
 * program's own instruction faulted, the system call's number, arguments, SP and PC
 * where the kernel did on its behalf.  PC is the storing instruction, or the one after
 * the system call.
 */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "place.h"
#include "subject.h"

#define TURNS 50

enum { PC, SP, GOT };

static char *page;
static int pipe_fd[2];

static void step(int n)
{
	if (n == 0)
		*page = 1;
	if (n == 1)
		place_store(page, 2, (uint64_t *)&shared[PC], (uint64_t *)&shared[SP]);
	if (n == 2)
		shared[GOT] = (uint64_t)place_read(pipe_fd[0], page, 3, (uint64_t *)&shared[PC],
						   (uint64_t *)&shared[SP]);
}

static void turn(struct subject *s, int n)
{
	long want = n == 1 ? -1 : SYS_read, nr;
	struct uffd_msg msg;
	uint64_t pc, sp;
	char text[256];
	int fd, len;

	uffd_arm(s->uffd, page, 1);
	subject_tell(s, n);
	msg = uffd_next(s->uffd);
	nr = thread_place(s->pid, (pid_t)msg.arg.pagefault.feat.ptid, &pc, &sp);
	check(nr == want, "system call %ld, not %ld", nr, want);
	check(pc == shared[PC] && sp == shared[SP], "PC %#llx SP %#llx, not %#llx %#llx",
	      (unsigned long long)pc, (unsigned long long)sp, (unsigned long long)shared[PC],
	      (unsigned long long)shared[SP]);
	thread_syscall(s->pid, s->pid, text, sizeof(text));
	if (n == 2)
		check(sscanf(text, "0 %i %*s %i", &fd, &len) == 2 && fd == pipe_fd[0] && len == 3,
		      "arguments: %s", text);
	uffd_lift(s->uffd, page, 1, true);
	check(subject_done(s, 10000), "it does not go on");
	check(n == 1 || shared[GOT] == 3, "read gave %d", (int)shared[GOT]);
}

int main(void)
{
	struct subject s;

	if (!HAVE_PLACE)
		lab_skip("written for x86-64");
	page = lab_map(1);
	if (pipe(pipe_fd) < 0)
		lab_die("pipe");
	s = subject_serve(step);
	subject_step(&s, 0);
	for (int i = 0; i < TURNS; i++) {
		turn(&s, 1);
		if (write(pipe_fd[1], "abc", 3) != 3)
			lab_die("write");
		turn(&s, 2);
	}
	subject_end(&s);
	return lab_result();
}
