/* SPDX-License-Identifier: MIT */
/*
 * Wrappers of the calls that make processes and threads, and end them.
 *
 * vfork() is in vfork.S: its child runs on the caller's stack, and a C function
 * could not return twice from there.
 *
 * Invariant: a process that shares its parent's memory (vfork, CLONE_VM) changes
 * nothing of ours.
 */
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <threads.h>

#include "preload/preload.h"
#include "traced/altstack.h"
#include "traced/env.h"
#include "traced/exithook.h"
#include "traced/forkhook.h"
#include "traced/perf.h"
#include "traced/sigmask.h"

enum { SPAWN_VFORK = 1, SPAWN_POSIX = 2 };

static s32 result_of(pid_t pid)
{
	return pid < 0 ? -errno : pid;
}

ct_public pid_t fork(void)
{
	u32 handle = ct_fork_enter(CT_HOW_FORK);
	pid_t pid = CT_NEXT(fork)();

	ct_fork_leave(handle, result_of(pid));
	return pid;
}

ct_public pid_t _Fork(void)
{
	struct ct_fork fork;
	pid_t pid;

	ct_fork_begin(&fork, CT_HOW__FORK);
	ct_fork_stamp(&fork);
	pid = CT_NEXT(_Fork)();
	if (pid)
		ct_fork_done(&fork, result_of(pid));
	else
		ct_fork_born(&fork);
	return pid;
}

struct clone_start {
	int (*fn)(void *);
	void *arg;
	struct ct_fork fork;
};

/* In the child, on its copy of the parent's memory. */
static int clone_begin(void *arg)
{
	struct clone_start *start = arg;
	int status;

	ct_fork_born(&start->fork);
	status = start->fn(start->arg);
	/* libc makes the plain system call now. */
	ct_exit_now();
	return status;
}

ct_public int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct clone_start start = { .fn = fn, .arg = arg };
	void *extra[3] = { NULL, NULL, NULL };
	va_list ap;
	int pid, i, nr = 0;

	/* The last one that these flags make somebody read. */
	if (flags & (CLONE_PARENT_SETTID | CLONE_PIDFD))
		nr = 1;
	if (flags & CLONE_SETTLS)
		nr = 2;
	if (flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID))
		nr = 3;
	va_start(ap, arg);
	for (i = 0; i < nr; i++)
		extra[i] = va_arg(ap, void *);
	va_end(ap);
	/* Its stack may be as small as it likes, and signals come there. */
	if (flags & CLONE_THREAD)
		ct_perf_step_back_now(CT_BACK_THREAD);
	if ((flags & CLONE_VM) || !fn || !stack)
		return CT_NEXT(clone)(fn, stack, flags, arg, extra[0], extra[1], extra[2]);
	ct_fork_begin(&start.fork, CT_HOW_CLONE);
	ct_fork_stamp(&start.fork);
	pid = CT_NEXT(clone)(clone_begin, stack, flags, &start, extra[0], extra[1], extra[2]);
	ct_fork_done(&start.fork, result_of(pid));
	return pid;
}

static void note_spawn(struct ct_call *call, u64 how)
{
	struct ct_event ev = { .type = CT_EV_SPAWN, .arg = how };

	ct_call_end(call, &ev, CT_SITE_FULL);
}

/* For vfork.S, before the call: afterwards two processes are on one stack. */
ct_hidden void ct_preload_note_vfork(void);
ct_hidden void ct_preload_note_vfork(void)
{
	struct ct_call call;

	ct_call_begin(&call);
	note_spawn(&call, SPAWN_VFORK);
}

/* For vfork.S: where to go. */
ct_hidden void *ct_preload_next_vfork(void);
ct_hidden void *ct_preload_next_vfork(void)
{
	return ct_next_find(CT_NEXT_vfork);
}

static int spawn_noted(enum ct_next_id id, pid_t *pid, const char *path,
		       const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		       char *const argv[], char *const envp[])
{
	struct ct_call call;
	struct ct_env env;
	bool masked;
	int ret;

	ct_call_begin(&call);
	ct_env_init(&env, envp);
	masked = ct_sigmask_real();
	ret = ((__typeof__(&posix_spawn))ct_next_find(id))(pid, path, actions, attr, argv,
							   env.envp);
	if (masked)
		ct_sigmask_unreal();
	ct_env_fini(&env);
	if (!ret)
		note_spawn(&call, SPAWN_POSIX);
	return ret;
}

ct_public int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			  const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return spawn_noted(CT_NEXT_posix_spawn, pid, path, actions, attr, argv, envp);
}

ct_public int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			   const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return spawn_noted(CT_NEXT_posix_spawnp, pid, file, actions, attr, argv, envp);
}

/*
 * Where libc has put the new thread's stack.  A pthread_t is the address of the
 * thread's control block, which lies in the last page of the mapping; its length
 * is what was asked for, and more where libc has taken an older mapping again.
 * (pthread_getattr_np() allocates.)
 */
static void note_thread(struct ct_call *call, pthread_t thread, const pthread_attr_t *attr)
{
	struct ct_event ev = { .type = CT_EV_THREAD };
	u64 top = ct_page_up((u64)thread + 1);
	size_t len = ct_shim ? ct_shim->thread_stack_len : 0, guard = 0;
	void *own = NULL;

	if (attr) {
		pthread_attr_getstack(attr, &own, &len);
		pthread_attr_getguardsize(attr, &guard);
		/* The caller's stack has no guard of libc's; getstack() subtracts from 0. */
		if (own && (u64)own + len >= (u64)thread && (u64)own < (u64)thread) {
			top = (u64)own + len;
		} else {
			pthread_attr_getstacksize(attr, &len);
			len += guard;
		}
	}
	len = ct_page_up(len);
	if (!len || len > top)
		return;
	ev.addr = top - len;
	ev.len = len;
	ct_call_end(call, &ev, CT_SITE_FULL);
}

static void *thread_begin(void *arg)
{
	struct ct_thread_start start = *(struct ct_thread_start *)arg;
	void *ret;

	ct_altstack_take(arg);
	ret = ((void *(*)(void *))start.fn)(start.arg);
	ct_altstack_leave();
	return ret;
}

ct_public void pthread_exit(void *ret)
{
	ct_altstack_leave();
	CT_NEXT(pthread_exit)(ret);
	__builtin_unreachable();
}

ct_public int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			     void *arg)
{
	struct ct_thread_start *start = NULL;
	struct ct_call call;
	int ret;

	ct_call_begin(&call);
	if (call.t_ns)
		start = ct_altstack_offer(&call.self, fn, arg);
	ret = start ? CT_NEXT(pthread_create)(thread, attr, thread_begin, start)
		    : CT_NEXT(pthread_create)(thread, attr, fn, arg);
	if (ret && start)
		ct_altstack_withdraw(start);
	/* A detached thread may be gone: only its address is used. */
	if (!ret && call.t_ns)
		note_thread(&call, *thread, attr);
	return ret;
}

static int thrd_begin(void *arg)
{
	struct ct_thread_start start = *(struct ct_thread_start *)arg;
	int ret;

	ct_altstack_take(arg);
	ret = ((thrd_start_t)start.fn)(start.arg);
	ct_altstack_leave();
	return ret;
}

ct_public int thrd_create(thrd_t *thread, thrd_start_t fn, void *arg)
{
	struct ct_thread_start *start = NULL;
	struct ct_self self;
	int ret;

	if (ct_self_get(&self))
		start = ct_altstack_offer(&self, (void *)fn, arg);
	ret = start ? CT_NEXT(thrd_create)(thread, thrd_begin, start)
		    : CT_NEXT(thrd_create)(thread, fn, arg);
	if (ret != thrd_success && start)
		ct_altstack_withdraw(start);
	return ret;
}

ct_public void _exit(int status)
{
	ct_exit_now();
	CT_NEXT(_exit)(status);
	for (;;)
		ct_sys1(SYS_exit_group, status);
}

ct_public void _Exit(int status)
{
	_exit(status);
}
