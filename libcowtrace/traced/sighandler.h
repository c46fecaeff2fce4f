/* SPDX-License-Identifier: MIT */
/*
 * The handler that answers the recorder's question for a stack.
 */
#ifndef CT_TRACED_SIGHANDLER_H
#define CT_TRACED_SIGHANDLER_H

#include <signal.h>

#include "base/rawsys.h"
#include "traced/self.h"
#include "traced/shim.h"

/*
 * SIGRTMAX - 2: libc hands real-time signals out from both ends of its range,
 * and programs that number them by hand begin at the ends as well.
 */
#define CT_STACK_SIGNAL 62

/* Stack that the handler and the unwinder use beside the kernel's frame, bytes. */
#define CT_HANDLER_LEN 4096u

/* The kernel's struct sigaction of x86-64 and arm64. */
struct ct_ksigaction {
	void (*handler)(int sig, siginfo_t *info, void *context);
	u64 flags;
	void (*restorer)(void);
	u64 mask;
};

static inline int ct_ksigaction_call(int sig, const struct ct_ksigaction *new,
				     struct ct_ksigaction *old)
{
	return (int)ct_sys4(SYS_rt_sigaction, sig, new, old, sizeof(u64));
}

/*
 * The signal of this process's handler: CT_STACK_SIGNAL, or SIGTRAP with the perf
 * engine.
 */
static inline int ct_sighandler_signal(void)
{
	const struct ct_shim *shim = __atomic_load_n(&ct_shim, __ATOMIC_ACQUIRE);

	return shim && shim->stack_signal ? shim->stack_signal : CT_STACK_SIGNAL;
}

/* Is this our handler? */
bool ct_sighandler_is(const void *handler);

/*
 * In the constructor, with shim->seg and the stacks' range set: installs the
 * handler and says so in the slot; sets shim->stack_signal.  Does nothing where
 * the image inherited SIG_IGN for the signal, or where there is no stack.
 */
void ct_sighandler_install(struct ct_shim *shim, u32 slot);

/*
 * Before an exec, after the recorder has been asked: takes signals of ours from
 * this thread's queue, where they would kill the next image, and leaves the
 * program's own mask in place.  True: ct_sigmask_unreal() where the exec failed.
 */
bool ct_sighandler_before_exec(void);

/* The signal's bit in the kernel's sets. */
static inline u64 ct_sighandler_bit(void)
{
	return 1ULL << (ct_sighandler_signal() - 1);
}

/* The program uses the signal itself, or the process is past being asked. */
static inline bool ct_sighandler_given_up(const struct ct_self *self)
{
	return atomic_load_explicit(&self->seg->slots[self->slot].no_stacks,
				    memory_order_relaxed) == CT_STACKS_TAKEN;
}

#endif
