/* SPDX-License-Identifier: MIT */
/*
 * A child of vfork has its parent's memory: no EVENT_FORK, its faults come on the
 * parent's userfaultfd, under its own thread id, which is of another process.  The
 * parent waits for it, and is not touched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define TURNS 20

enum { CHILD };

static char *page;

static void step(int n)
{
	volatile pid_t pid;

	if (n == 0) {
		*page = 1;
	} else if (n == 1) {
		pid = vfork();
		if (pid == 0) {
			shared[CHILD] = (uint64_t)getpid();
			*page = 2;
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

static int tgid_of(pid_t tid)
{
	char path[64], text[4096], *at;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	if (!lab_read_text(path, text, sizeof(text)) || !(at = strstr(text, "\nTgid:")))
		lab_die("read %s", path);
	return atoi(at + 6);
}

int main(void)
{
	struct subject s;

	page = lab_map(1);
	s = subject_serve(step);
	subject_step(&s, 0);
	for (int i = 0; i < TURNS; i++) {
		struct uffd_msg msg;

		uffd_arm(s.uffd, page, 1);
		subject_tell(&s, 1);
		msg = uffd_next(s.uffd);
		check(msg.event == UFFD_EVENT_PAGEFAULT, "event %#x", msg.event);
		check(msg.arg.pagefault.feat.ptid == shared[CHILD], "thread %u, not %d",
		      msg.arg.pagefault.feat.ptid, (int)shared[CHILD]);
		check(tgid_of((pid_t)msg.arg.pagefault.feat.ptid) == (int)shared[CHILD] &&
			      (int)shared[CHILD] != (int)s.pid,
		      "it is the parent's thread");
		uffd_lift(s.uffd, page, 1, true);
		check(subject_done(&s, 10000), "it does not go on");
		check(!uffd_readable(s.uffd, 0), "a second message");
	}
	subject_end(&s);
	return lab_result();
}
