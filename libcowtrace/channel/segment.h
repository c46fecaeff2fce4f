/* SPDX-License-Identifier: MIT */
/*
 * The segment: one memfd that the recorder and every traced process map shared.
 * The traced side announces itself here and leaves its events; the recorder
 * drains them.  It holds offsets and indices, never pointers, and neither side
 * believes the other: the recorder checks every index and length it reads.
 *
 * Rules of the traced side: plain memory accesses and, where a slot's flags
 * permit, futex calls; every wait is bounded and ends when `state` or the
 * heartbeat says that the recorder is gone.  Because the segment is MAP_SHARED,
 * nothing in it is ever copied by a fork: the shim keeps what it must write
 * here, so that tracing adds no copy-on-write page to the program.
 */
#ifndef CT_CHANNEL_SEGMENT_H
#define CT_CHANNEL_SEGMENT_H

#include <stdatomic.h>

#include "base/base.h"

#define CT_SEG_MAGIC 0x31746f77u /* "wot1" */
#define CT_SEG_VERSION 3u
#define CT_SEG_SLOTS 4096u    /* traced processes alive at once */
#define CT_SEG_EVENTS 32768u  /* ring records; a power of two */
#define CT_SEG_PIDS 16384u    /* pid hash; a power of two, > 2 * slots */
#define CT_SEG_STACKS 8192u   /* stacks asked for and not collected yet; a power of two */
#define CT_SEG_THREADS 32768u /* threads that may be asked for stacks; a power of two */
#define CT_SEG_FAULTS 32768u  /* ring of faults; a power of two */
#define CT_SEG_MEMFD_NAME "cowtrace-segment"
#define CT_SITE_PCS 24u /* frames of a call site kept in an event */
#define CT_TAG_NAME 64u
#define CT_STACK_PCS 28u     /* frames of a first write's call site */
#define CT_STACK_PIECES 512u /* alternate stacks of one process for our handler */

/* ct_segment.state */
enum {
	CT_SEG_OFF = 0, /* no recorder, or it has gone: the shim does nothing */
	CT_SEG_ON = 1,
};

/*
 * A slot is one traced process image.  Who moves `state`:
 *   FREE -> CLAIMED   a forking parent (CAS), before the clone; or the recorder at HELLO
 *   CLAIMED -> LIVE   the child itself, first thing it does
 *   CLAIMED -> FREE   the parent, when the clone failed
 *   LIVE -> FREE      the recorder, when the process has gone and its events are drained
 * A CLAIMED slot whose child was killed before it said a word is freed by the
 * recorder, which learns the pid from the parent's CT_EV_FORK.
 */
enum {
	CT_SLOT_FREE = 0,
	CT_SLOT_CLAIMED,
	CT_SLOT_LIVE,
};

/* ct_segment.engine */
enum {
	CT_ENGINE_CENSUS = 0,
	CT_ENGINE_UFFD = 1,
	CT_ENGINE_PERF = 2,
};

/* ct_slot.no_stacks: why this process cannot be asked for stacks. */
enum {
	CT_STACKS_OK = 0,
	CT_STACKS_NOT_YET, /* no handler installed: before the constructor, or no engine */
	CT_STACKS_TAKEN,   /* the program uses our signal itself */
	CT_STACKS_QUIET,   /* a seccomp filter: no system call of ours any more */
	CT_STACKS_EXEC,	   /* an exec is on its way: a signal now would kill the new image */
};

/* ct_slot.ask: what the process wants of the recorder now, one thing at a time. */
enum {
	CT_ASK_NONE = 0,
	CT_ASK_BIRTH,	  /* child: read my page map before I run */
	CT_ASK_EXIT,	  /* read my page map before my memory goes */
	CT_ASK_EXEC,	  /* the same, before an exec that may still fail */
	CT_ASK_ARM,	  /* an engine: protect or watch my memory, I am about to fork */
	CT_ASK_DISARM,	  /* the perf engine: close my event, I step back (ct_slot.stepped_back) */
	CT_ASK_SERVING,	  /* the recorder has picked it up */
	CT_ASK_DONE,	  /* answered; as good as NONE for the next ask */
	CT_ASK_ABANDONED, /* the asker left while it was SERVING; the recorder makes it NONE */
};

/* ct_slot.stepped_back: why the perf engine lets this process be. */
enum {
	CT_BACK_NO = 0,
	CT_BACK_SIGNAL,	 /* the program handles SIGTRAP itself */
	CT_BACK_STACK,	 /* its alternate stack has no room for our handler */
	CT_BACK_QUIET,	 /* a seccomp filter */
	CT_BACK_MEMORY,	 /* it takes our memory away */
	CT_BACK_HANDLER, /* another handler is there, set by a call that nobody saw */
	CT_BACK_THREAD,	 /* it makes threads by clone(), of which nobody knows the stack */
	CT_BACK_NR,
};

/* ct_slot.how: by what call the process was forked */
enum {
	CT_HOW_HELLO = 0, /* not forked under our eyes: it said HELLO after an exec */
	CT_HOW_FORK,	  /* fork(), or a libc function that forks (daemon, forkpty) */
	CT_HOW__FORK,	  /* _Fork() */
	CT_HOW_CLONE,	  /* clone() without CLONE_VM */
};

/* ct_slot.flags */
enum {
	/* The process has a seccomp filter: no system call of ours any more. */
	CT_SLOT_QUIET = 1u << 0,
	/* A wait ran out: the recorder was late; the process did not wait on. */
	CT_SLOT_HOLD_EXPIRED = 1u << 1,
	/* The process has asked for its last reading: once is enough. */
	CT_SLOT_EXITING = 1u << 2,
	/* It may have huge pages though thp_always is not set: it asked for them, or has had some.
	 */
	CT_SLOT_HUGE = 1u << 3,
};

struct ct_slot {
	_Atomic u32 state;
	_Atomic u32 ask; /* futex word */
	_Atomic u32 flags;
	u32 how;
	_Atomic s32 pid; /* as the process itself sees it (getpid) */
	s32 tid;	 /* the thread that asks */
	u32 parent_slot; /* CT_SEG_SLOTS: none */
	u32 generation;	 /* bumped each time the slot is claimed */

	/*
	 * Times are CLOCK_MONOTONIC ns.  A fork's window is [clone_ns, parent_ns]
	 * seen from the parent, [clone_ns, born_ns] from the child.
	 */
	u64 clone_ns;		/* parent, just before the clone */
	_Atomic u64 parent_ns;	/* parent, just after the clone; 0 until then */
	u64 born_ns;		/* child, when it asks to be read */
	_Atomic s32 parent_ret; /* what the clone returned in the parent */
	u32 prepare_ns;		/* time the parent spent in our prepare handler */

	/* As a parent: forks that this process began, and that returned or failed. */
	_Atomic u32 phase_now; /* cowtrace_phase() of this process, by phase id */
	_Atomic u32 forks_begun;
	_Atomic u64 fork_began_ns; /* the newest of them: CLOCK_MONOTONIC, just before its clone */
	_Atomic u32 forks_done;

	/* Written for cowtrace_stats() by the recorder; pages. */
	_Atomic u64 stat_forks;
	_Atomic u64 stat_shared;
	_Atomic u64 stat_copied;
	_Atomic u64 stat_dropped;

	/*
	 * The uffd engine: signal that asks a thread of this process for its stack,
	 * and CT_STACKS_*: not CT_STACKS_OK, no signal.  Set by the process itself; a
	 * forked child inherits its parent's, because it inherits the handler.
	 */
	u32 stack_signal;
	_Atomic u32 no_stacks;
	/* Traced side only: signals whose sa_mask has stack_signal, as the program sees it. */
	_Atomic u64 sa_masks;

	/*
	 * The perf engine.  watched: the event is enabled; set by the recorder, which a
	 * fork that finds it set need not ask (a forked child opens its own at once).
	 */
	_Atomic u32 watched;
	_Atomic u32 stepped_back; /* CT_BACK_* */
	_Atomic u64 faults_lost;  /* that found the ring full */

	/* The stack pointer and thread pointer of the asking thread at birth. */
	u64 sp;
	u64 tp;

	/* Call site of the fork, leaf first, cowtrace's own frames left out. */
	u32 nr_pcs;
	u32 phase; /* phase_now of the parent at the fork */
	u64 pcs[CT_SITE_PCS];
	/* Path of an exec that is being asked for, or empty. */
	char exec_path[128];
};

/* ct_event.type */
enum {
	CT_EV_NONE = 0,
	CT_EV_MAP,	 /* addr,len; arg=prot<<32|flags; arg2=fd (as s64) ; arg3=offset */
	CT_EV_UNMAP,	 /* addr,len */
	CT_EV_REMAP,	 /* addr,len = old; arg=new addr; arg2=new len; arg3=flags */
	CT_EV_ADVISE,	 /* addr,len; arg=advice (MADV_*) */
	CT_EV_PROTECT,	 /* addr,len; arg=prot */
	CT_EV_LOCK,	 /* addr,len (0,0: mlockall); arg=1 lock, 0 unlock; arg2=flags */
	CT_EV_BIND,	 /* addr,len; arg=mode; arg2=flags */
	CT_EV_BRK,	 /* addr=old break; arg=new break */
	CT_EV_VMA_NAME,	 /* addr,len; name */
	CT_EV_PRCTL,	 /* arg=option; arg2=value (PR_SET_THP_DISABLE, PR_SET_MEMORY_MERGE) */
	CT_EV_THREAD,	 /* addr,len = stack mapping of a new thread, guard included */
	CT_EV_TAG,	 /* addr,len; name */
	CT_EV_UNTAG,	 /* addr,len */
	CT_EV_PHASE,	 /* arg=phase id; name */
	CT_EV_FORK,	 /* parent, clone returned: arg=child slot; arg2=pid, -errno, or 0 where
			  only the child knows (daemon); arg3=ns of the clone */
	CT_EV_EXEC_FAIL, /* the exec that was asked for returned; arg=errno */
	CT_EV_SPAWN,	 /* vfork or posix_spawn: arg=1 vfork, 2 posix_spawn */
	CT_EV_MODULES,	 /* dlopen or dlclose changed the set of modules */
	CT_EV_REAPED,	 /* arg=pid of a child that a wait() has just told of: gone by t_ns */
	CT_EV_LOSS,	 /* the shim could not do its work: arg=why (CT_LOSS_*) */
	CT_EV_THP_LOST,	 /* addr,len: mapped by PMDs before a call, and not after it; arg=cause
			  (CT_THP_*); arg2=advice of CT_THP_MADVISE */
	CT_EV_NR,
};

/* CT_EV_THP_LOST arg: the call that did it */
enum {
	CT_THP_MUNMAP = 1,
	CT_THP_MMAP, /* MAP_FIXED over a part of it */
	CT_THP_MREMAP,
	CT_THP_BRK,
	CT_THP_MADVISE,
	CT_THP_MPROTECT,
	CT_THP_MLOCK,
	CT_THP_MUNLOCK,
	CT_THP_MBIND,
	CT_THP_VMA_NAME,
	CT_THP_CAUSES,
};

/* CT_EV_LOSS arg */
enum {
	CT_LOSS_NO_SLOT = 1, /* more than CT_SEG_SLOTS processes: a child went untraced */
	CT_LOSS_PIDNS,	     /* a child in another pid namespace went untraced */
	CT_LOSS_UNMAPPED,    /* the program unmapped or protected the segment: untraced from here */
};

/*
 * One ring record, 256 bytes.  `seq` and `seq_end` are both ticket + 1 when the
 * record is whole: the producer writes seq_end, the body, then seq (release).
 * A consumer that finds them different drops the record and counts it.
 */
struct ct_event {
	_Atomic u64 seq;
	u16 type;
	u16 nr_pcs;
	u32 slot;
	u32 tid;
	u32 dur_ns; /* of the call; saturates */
	u64 t_ns;   /* just before the call */
	u64 addr;
	u64 len;
	u64 arg;
	u64 arg2;
	u64 arg3;
	union {
		u64 pcs[CT_SITE_PCS - 2];
		struct {
			u64 few_pcs[CT_SITE_PCS - 2 - CT_TAG_NAME / 8];
			char name[CT_TAG_NAME]; /* TAG, PHASE, VMA_NAME; NUL-terminated */
		};
	};
	_Atomic u64 seq_end;
};

_Static_assert(sizeof(struct ct_event) == 256, "a ring record is 256 bytes");

/*
 * A stack that the recorder asks a faulting thread for (stacks.h).  The thread
 * fills it in its signal handler, before the instruction runs again.
 */
struct ct_stack {
	_Atomic u32 state; /* CT_STACK_* of stacks.h */
	u32 nr_pcs;
	_Atomic u64 ticket; /* comes with the signal, as its value */
	u64 pc, sp;	    /* of the instruction that faulted */
	u64 pcs[CT_STACK_PCS];
};

_Static_assert(sizeof(struct ct_stack) == 256, "a stack is 256 bytes");

/* A fault of the program's own code, as the perf engine's handler tells it. */
struct ct_fault {
	_Atomic u64 seq;
	u64 addr;
	u64 t_ns; /* CLOCK_MONOTONIC; the kernel has resolved it, the program goes on after this */
	u32 slot;
	u32 generation; /* of the slot */
	u16 nr_pcs;
	u16 flags;  /* CT_FAULT_* */
	u32 period; /* faults that it stands for */
	u64 pcs[CT_SITE_PCS];
	u64 spare[2];
	_Atomic u64 seq_end;
};

/* ct_fault.flags */
enum {
	CT_FAULT_LATE = 1u << 0, /* the thread had the signal blocked: there is no stack */
};

_Static_assert(sizeof(struct ct_fault) == 256, "a fault is 256 bytes");

struct ct_segment {
	u32 magic;
	u32 version;
	u64 size; /* of the whole mapping */
	_Atomic u32 state;
	u32 engine;   /* CT_ENGINE_* */
	u64 start_ns; /* when the recording began */
	u64 hold_ns;  /* longest wait of a birth, an exit, an exec */
	/* By the serving thread, ten times a second or more; ahead of time before what is long. */
	_Atomic u64 heartbeat_ns;
	/*
	 * Slot + 1 of whose memory the recorder looks at, by its serving thread and by its
	 * engine's: they wait there while that process clones itself.
	 */
	_Atomic u32 looks_at[2];

	/*
	 * Doorbell: bump it, then wake where `sleeping` is set.  The recorder sets
	 * sleeping, looks once more for work, and waits on the word.
	 */
	_Atomic u32 doorbell __attribute__((aligned(64)));
	_Atomic u32 sleeping;

	/* Bit n: slot n has an `ask`. */
	_Atomic u64 asking[CT_SEG_SLOTS / 64] __attribute__((aligned(64)));

	/* Ring: tickets.  head: next to reserve; tail: next to read. */
	_Atomic u64 head __attribute__((aligned(64)));
	_Atomic u64 tail __attribute__((aligned(64)));
	_Atomic u64 dropped; /* events that found the ring full */

	_Atomic u32 thp_always; /* the system has given huge pages to all, at some time */

	/* The ring of faults: tickets (faults.h). */
	_Atomic u64 faults_head __attribute__((aligned(64)));
	_Atomic u64 faults_tail __attribute__((aligned(64)));

	/* The perf engine: set before the first program starts. */
	struct {
		u64 period;    /* every how many-th fault raises a signal */
		char name[64]; /* abstract address for ct_perf_msg, without its leading NUL */
		u8 token[16];
	} perf;

	_Atomic u32 slot_hint;
	/*
	 * Phase names by id; 0 is "" (none) and counts.  Claimed by the traced side with
	 * CAS on nr_phases, which begins at 0 or 1; the first byte of a name comes last.
	 */
	_Atomic u32 nr_phases;
	char phases[64][CT_TAG_NAME];

	/* pid -> slot + 1, open addressing; an entry is checked against slot.pid. */
	_Atomic u32 pids[CT_SEG_PIDS];

	/* Threads that have our handler's stack: slot << 32 | tid, or 0 (threads.h). */
	_Atomic u64 threads[CT_SEG_THREADS] __attribute__((aligned(64)));
	/* Of each: its own small alternate stack, start page << 16 | pages, or 0 (threads.h). */
	_Atomic u64 thread_stacks[CT_SEG_THREADS];

	/*
	 * Traced side only: who has which of its process's alternate stacks: a thread
	 * id, -1 where it is not known yet, or 0 (altstack.h).  Sparse.
	 */
	_Atomic s32 stack_owners[CT_SEG_SLOTS][CT_STACK_PIECES] __attribute__((aligned(64)));

	struct ct_slot slots[CT_SEG_SLOTS] __attribute__((aligned(64)));
	struct ct_stack stacks[CT_SEG_STACKS] __attribute__((aligned(64)));
	struct ct_event ring[CT_SEG_EVENTS] __attribute__((aligned(64)));
	struct ct_fault faults[CT_SEG_FAULTS] __attribute__((aligned(64)));
};

#endif
