/* SPDX-License-Identifier: MIT */
/*
 * A real-time signal that one process queues for a thread of another: si_code below
 * zero and the value arrive as they were sent; blocked, it waits through an exec and
 * then kills; sigtimedwait() takes it off the queue before.  A thread that does not
 * lead its process may not send SI_USER in another's name, sigqueue's codes it may.
 */
#include <pthread.h>
#include <signal.h>

#include "say.h"

#define SIG 62

static int queue_to(pid_t pid, pid_t tid, int code)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_code = code;
	info.si_value.sival_ptr = (void *)0x123456789abcUL;
	return syscall(SYS_rt_tgsigqueueinfo, pid, tid, SIG, &info) ? -errno : 0;
}

static void block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIG);
	say("block", !sigprocmask(SIG_BLOCK, set, NULL));
}

/* A child that has the signal blocked and pending, sent by its parent, then goes on. */
static pid_t child_with_pending(int take_off, char *const argv[])
{
	int ready[2], go[2];
	pid_t pid;
	char c;

	say("pipes", !pipe(ready) && !pipe(go));
	pid = fork();
	if (!pid) {
		const struct timespec none = { 0 };
		siginfo_t info;
		sigset_t set;

		block(&set);
		say("ready", write(ready[1], "x", 1) == 1 && read(go[0], &c, 1) == 1);
		if (take_off) {
			say("taken off", sigtimedwait(&set, &info, &none) == SIG);
			say("its code and value",
			    info.si_code == -99 &&
				    info.si_value.sival_ptr == (void *)0x123456789abcUL);
			say("no more", sigtimedwait(&set, &info, &none) == -1 && errno == EAGAIN);
		}
		execv(argv[0], argv);
		_exit(3);
	}
	say("ready", read(ready[0], &c, 1) == 1);
	say("queued by another process", !queue_to(pid, pid, -99));
	say("go", write(go[1], "x", 1) == 1);
	return pid;
}

static int status_of(pid_t pid)
{
	int status;

	say("wait", waitpid(pid, &status, 0) == pid);
	return status;
}

static void *not_leader(void *unused)
{
	siginfo_t info;
	sigset_t set;

	block(&set);
	memset(&info, 0, sizeof(info));
	info.si_code = SI_USER;
	say("SI_USER by a thread: EPERM",
	    syscall(SYS_rt_sigqueueinfo, getpid(), SIG, &info) == -1 && errno == EPERM);
	info.si_code = SI_QUEUE;
	say("SI_QUEUE by a thread", !syscall(SYS_rt_sigqueueinfo, getpid(), SIG, &info));
	return NULL;
}

int main(int argc, char **argv)
{
	char *unblocks[] = { argv[0], (char *)"unblocks", NULL };
	siginfo_t info;
	sigset_t set;
	pthread_t t;
	int status;

	if (argc > 1) {
		sigemptyset(&set);
		sigaddset(&set, SIG);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		return 5;
	}
	status = status_of(child_with_pending(0, unblocks));
	say("it waits through an exec and kills", WIFSIGNALED(status) && WTERMSIG(status) == SIG);
	status = status_of(child_with_pending(1, unblocks));
	say("taken off, it does not", WIFEXITED(status) && WEXITSTATUS(status) == 5);
	block(&set);
	say("SI_USER by the leader to its own process",
	    (memset(&info, 0, sizeof(info)), 1) &&
		    !syscall(SYS_rt_sigqueueinfo, getpid(), SIG, &info));
	say("it is there", sigwaitinfo(&set, &info) == SIG && info.si_code == SI_USER);
	say("thread", !pthread_create(&t, NULL, not_leader, NULL) && !pthread_join(t, NULL));
	say("what the thread sent", sigwaitinfo(&set, &info) == SIG && info.si_code == SI_QUEUE);
	return 0;
}
