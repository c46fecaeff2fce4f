/* SPDX-License-Identifier: MIT */
/*
 * A stack for the recorder: it has written down which instruction faulted, sent
 * the signal while the thread stood in the fault, and let it go; so the handler
 * runs before that instruction does again.
 *
 * With the perf engine the kernel sends SIGTRAP instead, and nobody has asked.
 *
 * Somebody else may send this signal too, to a program that expects to die of
 * it or has it blocked: then it does, or it is.
 *
 * It writes to its own stack and to the segment, reads the program's stack and
 * the loader's tables, and makes no system call.  All signals are blocked
 * meanwhile: no handler of the program comes on top of our stack, and no fork
 * comes out of the middle.
 *
 * Invariant: a place is answered only with the stack of the instruction that it
 * was asked for.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "base/rawsys.h"
#include "channel/stacks.h"
#include "channel/threads.h"
#include "traced/altstack.h"
#include "traced/perf.h"
#include "traced/sighandler.h"
#include "traced/stack.h"
#include "traced/thread.h"

#define SA_RESTORER_BIT 0x04000000u
/* Signals of others that survive an exec on a thread's queue. */
#define OTHERS_MAX 8u

/*
 * The way back out of a handler.  Unwinders, debuggers' too, know these bytes;
 * the instruction before must belong to no function that has unwind tables.
 */
__asm__(".text\n"
	"	.p2align 4\n"
	"	nop\n"
	"	.hidden ct_sighandler_return\n"
	"	.globl ct_sighandler_return\n"
	"	.type ct_sighandler_return, %function\n"
	"ct_sighandler_return:\n"
#if defined(__x86_64__)
	"	mov $15, %rax\n" /* rt_sigreturn */
	"	syscall\n"
#else
	"	mov x8, #139\n"
	"	svc #0\n"
#endif
	"	.size ct_sighandler_return, . - ct_sighandler_return\n");
ct_hidden void ct_sighandler_return(void);

static void interrupted_at(const ucontext_t *context, u64 *ret_pc, u64 *ret_sp)
{
#if defined(__x86_64__)
	*ret_pc = (u64)context->uc_mcontext.gregs[REG_RIP];
	*ret_sp = (u64)context->uc_mcontext.gregs[REG_RSP];
#else
	*ret_pc = context->uc_mcontext.pc;
	*ret_sp = context->uc_mcontext.sp;
#endif
}

static void answer(struct ct_segment *seg, u64 ticket, const ucontext_t *context)
{
	u64 pcs[CT_STACK_PCS], pc, sp;
	struct ct_stack *stack;
	u32 nr;

	interrupted_at(context, &pc, &sp);
	stack = ct_stack_take(seg, ticket, pc, sp);
	if (!stack)
		return;
	nr = ct_stack_capture_interrupted(pcs, CT_STACK_PCS);
	/* Given up meanwhile, it may be somebody else's place. */
	if (atomic_load_explicit(&stack->ticket, memory_order_relaxed) == ticket)
		memcpy(stack->pcs, pcs, nr * sizeof(*pcs));
	ct_stack_done(stack, ticket, nr);
}

/* Tickets count up, and the recorder writes one down before it sends the signal. */
static bool is_asked(struct ct_segment *seg, const siginfo_t *info, u64 ticket)
{
	const struct ct_stack *stack = &seg->stacks[ticket & (CT_SEG_STACKS - 1)];

	return info->si_code == CT_STACK_SI_CODE && ticket &&
	       ticket <= atomic_load_explicit(&stack->ticket, memory_order_relaxed);
}

/* For the process again; a thread that does not lead it may not forge SI_USER. */
static void send_again(int sig, siginfo_t *info)
{
	const long pid = ct_sys0(SYS_getpid);

	if (ct_sys3(SYS_rt_sigqueueinfo, pid, sig, info))
		ct_sys2(SYS_kill, pid, sig);
}

/*
 * Not ours.  The program has no handler for it.  Where it believes that this
 * thread has it blocked, it is blocked from here on, and the signal goes to
 * another thread, or waits for sigwait() and signalfd; else it ends the process.
 */
static void pass_on(int sig, siginfo_t *info, ucontext_t *context)
{
	const struct ct_ksigaction none = { .handler = NULL };
	struct ct_self self;

	/* A breakpoint kills a thread that has it blocked, too. */
	if (ct_thread_state.blocked && info->si_code <= 0) {
		if (ct_self_get(&self)) {
			ct_thread_leave(self.seg, self.slot, self.tid);
			/* The next of ours would wait beside it, for whoever waits for it. */
			ct_perf_step_back(&self, CT_BACK_SIGNAL);
		}
		ct_thread_state.ready = false;
		context->uc_sigmask.__val[0] |= ct_sighandler_bit();
	} else {
		ct_ksigaction_call(sig, &none, NULL);
	}
	send_again(sig, info);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const struct ct_shim *shim = __atomic_load_n(&ct_shim, __ATOMIC_ACQUIRE);
	const u64 ticket = (u64)info->si_value.sival_ptr;

	if (sig == SIGTRAP) {
		if (!ct_perf_is_ours(info))
			pass_on(sig, info, context);
		else if (shim && shim->seg && !shim->quiet)
			ct_perf_fault(shim, info);
		return;
	}
	/* Detached: nobody knows whose signal it is; ours must not kill. */
	if (!shim || !shim->seg)
		return;
	if (is_asked(shim->seg, info, ticket))
		answer(shim->seg, ticket, context);
	else
		pass_on(sig, info, context);
}

void ct_sighandler_install(struct ct_shim *shim, u32 idx)
{
	struct ct_ksigaction ours = {
		.handler = on_signal,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_RESTORER_BIT,
		.restorer = ct_sighandler_return,
		.mask = ~0ULL,
	};
	struct ct_slot *slot = &shim->seg->slots[idx];
	const int sig = shim->seg->engine == CT_ENGINE_PERF ? SIGTRAP : CT_STACK_SIGNAL;
	const u64 bit = 1ULL << (sig - 1);
	struct ct_ksigaction old;
	u64 mask = 0;

	if (ct_ksigaction_call(sig, NULL, &old))
		return;
	if ((u64)old.handler != (u64)SIG_DFL) {
		atomic_store_explicit(&slot->no_stacks, CT_STACKS_TAKEN, memory_order_release);
		return;
	}
	if (!ct_altstack_main(shim, idx) || ct_ksigaction_call(sig, &ours, NULL))
		return;
	/* Inherited over the exec. */
	ct_sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, &mask, sizeof(mask));
	if (mask & bit)
		ct_thread_state.blocked = true;
	shim->stack_signal = sig;
	slot->stack_signal = (u32)sig;
	atomic_store_explicit(&slot->no_stacks, CT_STACKS_OK, memory_order_release);
}

bool ct_sighandler_is(const void *handler)
{
	return handler == (const void *)on_signal;
}

/* Too late for it now; nobody is to wait. */
static bool is_stale(const struct ct_shim *shim, int sig, const siginfo_t *info)
{
	const u64 ticket = (u64)info->si_value.sival_ptr;

	if (sig == SIGTRAP)
		return ct_perf_is_ours(info);
	if (!shim->seg || !is_asked(shim->seg, info, ticket))
		return false;
	ct_stack_take(shim->seg, ticket, 0, 0);
	return true;
}

bool ct_sighandler_before_exec(void)
{
	const struct ct_shim *shim = ct_shim;
	const int sig = ct_sighandler_signal();
	const u64 bit = ct_sighandler_bit();
	const struct timespec now = { 0 };
	siginfo_t info, others[OTHERS_MAX];
	u32 nr = 0, i;
	u64 mask = 0;

	if (!shim || !shim->stack_signal || shim->quiet)
		return false;
	ct_sys4(SYS_rt_sigprocmask, SIG_BLOCK, &bit, &mask, sizeof(mask));
	while (ct_sys4(SYS_rt_sigtimedwait, &bit, &info, &now, sizeof(bit)) == sig)
		if (!is_stale(shim, sig, &info) && nr < OTHERS_MAX)
			others[nr++] = info;
	for (i = 0; i < nr; i++)
		send_again(sig, &others[i]);
	/* Blocked already: by a raw call, or because others sent the signal. */
	if (mask & bit)
		return false;
	if (!ct_thread_state.blocked)
		ct_sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, NULL, sizeof(bit));
	return ct_thread_state.blocked;
}
