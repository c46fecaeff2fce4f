/* SPDX-License-Identifier: MIT */
/*
 * A page-fault event with a signal: opened, handed over, and what the signal's handler
 * writes down.  It decides nothing: whether a fault was a first write, and what the
 * kernel did, is found out by the recorder.
 *
 * Invariant: no descriptor of ours is open when a function here returns, and no event
 * exists that the recorder does not hold.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "base/futex.h"
#include "base/perfev.h"
#include "channel/ask.h"
#include "channel/faults.h"
#include "traced/pass.h"
#include "traced/perf.h"
#include "traced/sighandler.h"
#include "traced/stack.h"

#define ASK_TRIES 8u
#define CONNECT_MS 200
/* A signal that another thread is just about to take. */
#define IN_FLIGHT_NS 1000000

static int connect_to(const struct ct_segment *seg)
{
	/* Bounds connect() where the recorder's backlog is full. */
	const struct timeval tv = { .tv_usec = CONNECT_MS * 1000 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const size_t len = strlen(seg->perf.name);
	int fd = (int)ct_sys3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	long ret;

	if (fd < 0)
		return fd;
	memcpy(sun.sun_path + 1, seg->perf.name, len);
	ct_sys5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	ret = ct_sys3(SYS_connect, fd, &sun, offsetof(struct sockaddr_un, sun_path) + 1 + len);
	if (!ret)
		return fd;
	ct_sys1(SYS_close, fd);
	return (int)ret;
}

static int event_open(const struct ct_segment *seg, u32 slot, bool enabled)
{
	struct perf_event_attr attr;

	ct_perfev_attr(&attr, seg->perf.period, ct_perfev_data(slot, seg->slots[slot].generation),
		       enabled);
	return (int)ct_sys5(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Tells the recorder of the event, or why there is none.  Takes event (-errno: none). */
static int hand_over(const struct ct_shim *shim, struct ct_segment *seg, u32 slot, int event)
{
	struct ct_perf_msg msg = {
		.magic = CT_PERF_MAGIC,
		.status = event < 0 ? event : 0,
		.slot = slot,
		.generation = seg->slots[slot].generation,
		.own = { shim->stacks_start, shim->stacks_end },
	};
	int sock = connect_to(seg), ret = sock < 0 ? sock : 0;

	memcpy(msg.token, seg->perf.token, sizeof(msg.token));
	if (!ret)
		ret = ct_pass_send(sock, &msg, sizeof(msg), event);
	if (sock >= 0)
		ct_sys1(SYS_close, sock);
	if (event >= 0)
		ct_sys1(SYS_close, event);
	return msg.status ? msg.status : ret;
}

void ct_perf_start(struct ct_shim *shim, u32 slot)
{
	int event = -EBUSY; /* SIGTRAP is ignored here, or there is no room for a handler */

	if (shim->stack_signal)
		event = event_open(shim->seg, slot, false);
	shim->perf = !hand_over(shim, shim->seg, slot, event);
}

static const struct ct_shim *running(void)
{
	const struct ct_shim *shim = __atomic_load_n(&ct_shim, __ATOMIC_ACQUIRE);

	return shim && shim->perf && shim->seg && !shim->quiet ? shim : NULL;
}

static bool has_stepped_back(struct ct_segment *seg, u32 slot)
{
	return atomic_load_explicit(&seg->slots[slot].stepped_back, memory_order_acquire) !=
	       CT_BACK_NO;
}

/* Another thread may be asking for something: after it. */
static void ask(struct ct_segment *seg, u32 slot, u32 kind)
{
	u32 i;

	for (i = 0; i < ASK_TRIES && ct_ask(seg, slot, kind) == -EBUSY; i++)
		ct_ask_join(seg, slot);
}

/* Set by a system call of the program's own, or by another runtime. */
static bool handler_is_ours(void)
{
	struct ct_ksigaction now;

	return !ct_ksigaction_call(SIGTRAP, NULL, &now) && ct_sighandler_is((void *)now.handler);
}

void ct_perf_before_fork(struct ct_segment *seg, u32 parent, u32 child)
{
	const struct ct_self self = { .seg = seg, .slot = parent };
	struct ct_slot *slot = &seg->slots[parent];

	if (!running() || has_stepped_back(seg, parent))
		return;
	if (!handler_is_ours()) {
		ct_perf_step_back(&self, CT_BACK_HANDLER);
		return;
	}
	/* The fork has been counted: who switches off looks at that after `watched`. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&slot->watched, memory_order_acquire))
		ask(seg, parent, CT_ASK_ARM);
	atomic_store_explicit(&seg->slots[child].watched,
			      atomic_load_explicit(&slot->watched, memory_order_acquire),
			      memory_order_release);
}

void ct_perf_born(struct ct_segment *seg, u32 slot)
{
	const struct ct_shim *shim = running();

	if (shim && !has_stepped_back(seg, slot) &&
	    atomic_load_explicit(&seg->slots[slot].watched, memory_order_acquire))
		hand_over(shim, seg, slot, event_open(seg, slot, true));
}

bool ct_perf_is_ours(const siginfo_t *info)
{
	return info->si_code == CT_TRAP_PERF && ct_perfev_is_ours(ct_perfev_data_of(info));
}

/* The handler's own stack, or the ring that it writes to. */
static bool is_own_memory(const struct ct_shim *shim, u64 addr)
{
	return (addr >= shim->stacks_start && addr < shim->stacks_end) ||
	       (addr >= (u64)shim->seg && addr < (u64)shim->seg + shim->seg->size);
}

void ct_perf_fault(const struct ct_shim *shim, const siginfo_t *info)
{
	struct ct_segment *seg = shim->seg;
	const u64 data = ct_perfev_data_of(info);
	struct ct_fault fault = {
		.addr = (u64)info->si_addr,
		.t_ns = ct_now_ns(),
		.slot = ct_perfev_slot(data),
		.generation = ct_perfev_generation(data),
		.period = (u32)seg->perf.period,
	};

	if (is_own_memory(shim, fault.addr) || !ct_recorder_alive(seg, fault.t_ns))
		return;
	if (ct_perfev_flags_of(info) & CT_TRAP_ASYNC)
		fault.flags = CT_FAULT_LATE;
	else
		fault.nr_pcs = (u16)ct_stack_capture_interrupted(fault.pcs, CT_SITE_PCS);
	ct_fault_put(seg, &fault);
}

void ct_perf_step_back(const struct ct_self *self, u32 why)
{
	const struct timespec in_flight = { .tv_nsec = IN_FLIGHT_NS };
	struct ct_slot *slot = &self->seg->slots[self->slot];
	u32 no = CT_BACK_NO;

	if (!running())
		return;
	if (!atomic_compare_exchange_strong_explicit(&slot->stepped_back, &no, why,
						     memory_order_acq_rel, memory_order_acquire)) {
		ct_ask_join(self->seg, self->slot);
		return;
	}
	ask(self->seg, self->slot, CT_ASK_DISARM);
	ct_sys2(SYS_nanosleep, &in_flight, NULL);
}

void ct_perf_step_back_now(u32 why)
{
	struct ct_self self;

	if (running() && ct_self_get(&self))
		ct_perf_step_back(&self, why);
}
