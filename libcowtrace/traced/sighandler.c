/* SPDX-License-Identifier: MIT */
/*
 * A stack for the recorder: it has written down which instruction faulted, sent
 * the signal while the thread stood in the fault, and let it go; so the handler
 * runs before that instruction does again.
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
#include <ucontext.h>

#include "base/rawsys.h"
#include "channel/stacks.h"
#include "traced/altstack.h"
#include "traced/sighandler.h"
#include "traced/stack.h"
#include "traced/thread.h"

/* The kernel's struct sigaction of x86-64 and arm64. */
struct kernel_sigaction {
	void (*handler)(int sig, siginfo_t *info, void *context);
	u64 flags;
	void (*restorer)(void);
	u64 mask;
};

#define SA_RESTORER_BIT 0x04000000u

#if defined(__x86_64__)
/*
 * The way back out of a handler.  Unwinders, debuggers' too, know these bytes;
 * the instruction before must belong to no function that has unwind tables.
 */
__asm__(".text\n"
	"	.p2align 4\n"
	"	nop\n"
	"	.hidden ct_sighandler_return\n"
	"	.globl ct_sighandler_return\n"
	"	.type ct_sighandler_return, @function\n"
	"ct_sighandler_return:\n"
	"	mov $15, %rax\n" /* rt_sigreturn */
	"	syscall\n"
	"	.size ct_sighandler_return, . - ct_sighandler_return\n");
void ct_sighandler_return(void);
#endif

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

	return info->si_code == SI_QUEUE && ticket &&
	       ticket <= atomic_load_explicit(&stack->ticket, memory_order_relaxed);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const struct ct_shim *shim = __atomic_load_n(&ct_shim, __ATOMIC_ACQUIRE);
	const u64 ticket = (u64)info->si_value.sival_ptr;

	/* Detached: nobody knows whose signal it is; ours must not kill. */
	if (!shim || !shim->seg)
		return;
	if (is_asked(shim->seg, info, ticket))
		answer(shim->seg, ticket, context);
}

static int action_set(const struct kernel_sigaction *new, struct kernel_sigaction *old)
{
	return (int)ct_sys4(SYS_rt_sigaction, CT_STACK_SIGNAL, new, old, sizeof(u64));
}

void ct_sighandler_install(struct ct_shim *shim, u32 idx)
{
	struct kernel_sigaction ours = {
		.handler = on_signal,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
		.mask = ~0ULL,
	};
	struct ct_slot *slot = &shim->seg->slots[idx];
	const u64 bit = ct_sighandler_bit();
	struct kernel_sigaction old;
	u64 mask = 0;

#if defined(__x86_64__)
	ours.flags |= SA_RESTORER_BIT;
	ours.restorer = ct_sighandler_return;
#endif
	if (action_set(NULL, &old))
		return;
	if ((u64)old.handler != (u64)SIG_DFL) {
		atomic_store_explicit(&slot->no_stacks, CT_STACKS_TAKEN, memory_order_release);
		return;
	}
	if (!ct_altstack_main(shim, idx) || action_set(&ours, NULL))
		return;
	/* Inherited over the exec. */
	ct_sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, &mask, sizeof(mask));
	if (mask & bit)
		ct_thread_state.blocked = true;
	shim->stack_signal = CT_STACK_SIGNAL;
	slot->stack_signal = CT_STACK_SIGNAL;
	atomic_store_explicit(&slot->no_stacks, CT_STACKS_OK, memory_order_release);
}
