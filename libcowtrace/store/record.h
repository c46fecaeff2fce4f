/* SPDX-License-Identifier: MIT */
/*
 * What the recorder tells the store, one record at a time.  Values only: the
 * writer copies what it needs before ct_store_put() returns.  Ids are the
 * recorder's, count from 1 in each table, 0 means none.  Counts are in 4 KiB
 * pages, times in ns since the recording began.
 */
#ifndef CT_STORE_RECORD_H
#define CT_STORE_RECORD_H

#include "base/base.h"

#define CT_UNKNOWN UINT64_MAX /* a count that could not be taken: NULL in the trace */

enum ct_side {
	CT_SIDE_PARENT = 0,
	CT_SIDE_CHILD = 1,
};

enum ct_ended {
	CT_ENDED_RUNNING = 0, /* alive when the recording ended */
	CT_ENDED_EXIT,
	CT_ENDED_EXEC, /* the image was replaced; the new one is a process of its own here */
	CT_ENDED_KILLED,
};

/* Why a side of a fork was read for the last time. */
enum ct_side_end {
	CT_SIDE_END_OPEN = 0,	   /* not yet: the trace is incomplete */
	CT_SIDE_END_RELATIVE_GONE, /* nobody shares with it any more */
	CT_SIDE_END_EXIT,
	CT_SIDE_END_EXEC,
	CT_SIDE_END_NEXT_FORK, /* its pages belong to a newer fork now */
	CT_SIDE_END_RECORDING, /* the recording ended */
	CT_SIDE_END_KILLED,    /* gone before it could be read: its counts are unknown */
	CT_SIDE_END_TIMEOUT,   /* did not wait long enough to be read */
	CT_SIDE_END_NEXT_FILE, /* goes on in the next file of the recording */
};

enum ct_kind {
	CT_KIND_ANON = 0,
	CT_KIND_HEAP, /* brk */
	CT_KIND_STACK,
	CT_KIND_BSS,
	CT_KIND_ARENA, /* an allocator's */
	CT_KIND_SHARED,
	CT_KIND_FILE_PRIVATE, /* .data, .got, a private file mapping */
	CT_KIND_COWTRACE,     /* the shim's own memory: never in a total */
	CT_KIND_NR,
};

/* What the program has asked for; UNSET where nobody did, or nobody saw it. */
enum ct_thp_advice {
	CT_THP_UNSET = 0,
	CT_THP_HUGEPAGE,
	CT_THP_NOHUGEPAGE,
	CT_THP_DISABLED, /* PR_SET_THP_DISABLE */
};
enum ct_ksm_advice {
	CT_KSM_UNSET = 0,
	CT_KSM_MERGEABLE,
	CT_KSM_UNMERGEABLE,
	CT_KSM_PROCESS, /* PR_SET_MEMORY_MERGE */
};
enum ct_fork_advice {
	CT_FORK_UNSET = 0,
	CT_FORK_DONTFORK,
	CT_FORK_WIPEONFORK,
};

/* Who made the access of a first write. */
enum ct_access {
	CT_ACCESS_USER = 0,
	CT_ACCESS_KERNEL,  /* a system call wrote into the program's memory */
	CT_ACCESS_FOREIGN, /* not the process itself: a vfork child, process_vm_writev */
};

/*
 * Why a copied page has no call site.  The words in the trace and in JSON:
 * "no_engine", "file_private", "fork_window", "kernel_write", "blocked_signal",
 * "recorder_late", "not_sampled", "killed", "no_stack".
 */
enum ct_no_site {
	CT_SITE_KNOWN = 0,
	CT_NO_ENGINE,	      /* the census alone */
	CT_NO_FILE_PRIVATE,   /* .data and the like: a userfaultfd cannot watch it */
	CT_NO_FORK_WINDOW,    /* written between the arming and the end of the clone */
	CT_NO_KERNEL_WRITE,   /* a system call wrote; its caller is not known either */
	CT_NO_BLOCKED_SIGNAL, /* the thread had moved on when its handler ran */
	CT_NO_RECORDER_LATE,  /* a queue of ours was full, or memory was short */
	CT_NO_SAMPLED,	      /* left out by sampling */
	CT_NO_KILLED,	      /* the thread was killed before it answered */
	CT_NO_STACK, /* the thread may not be asked: raw clone, tiny stack, our signal taken */
	CT_NO_SITE_NR,
};

enum ct_rec_type {
	CT_REC_META,
	CT_REC_PROCESS,
	CT_REC_PROCESS_COMM, /* comm or exe learned later */
	CT_REC_PROCESS_END,
	CT_REC_MODULE,
	CT_REC_SITE,
	CT_REC_FORK,
	CT_REC_FORK_TIMES, /* known only when the clone has returned in the parent */
	CT_REC_FORK_END,
	CT_REC_SIDE, /* again and again: the last one counts */
	CT_REC_REGION,
	CT_REC_REGION_COUNT, /* the same */
	CT_REC_TIMELINE,
	CT_REC_WITNESS,
	CT_REC_EVENT,
	CT_REC_RUNS,
	CT_REC_WRITE,	     /* a first write that an engine saw */
	CT_REC_THP_LOSS,     /* a call took a part of a huge page, or changed it */
	CT_REC_UNATTRIBUTED, /* the last one of a fork, side and reason counts */
	CT_REC_CARRIED,	     /* a fork that began in an older file of the recording */
	CT_REC_NOTE,
	CT_REC_NR,
};

/*
 * A return address.  A leaf that was interrupted by a fault stands as the address
 * of its instruction plus one, so that every frame is looked up alike: by the
 * byte before it.
 */
struct ct_rec_frame {
	u32 module; /* 0: unknown or JIT */
	u64 offset; /* file offset in the module; else the absolute address */
};

struct ct_rec_run {
	u64 page; /* first, as a page number */
	u32 pages;
	u32 state; /* CT_RUN_* */
};
enum {
	CT_RUN_SMALL = 0, /* order-0 or unknown folio size, mapped by PTEs */
	CT_RUN_HUGE = 1,  /* mapped by PMDs */
	CT_RUN_SWAP = 2,
};

struct ct_rec {
	enum ct_rec_type type;
	union {
		struct {
			const char *key, *value;
		} meta;
		struct {
			u32 id, parent; /* parent: process id here, 0 for the command */
			s32 pid, parent_pid;
			const char *comm, *exe;
			u64 start_ns;
		} process; /* _COMM uses id, comm, exe */
		struct {
			u32 id;
			enum ct_ended ended;
			u64 end_ns;
			s32 wstatus; /* wait status, -1 unknown */
		} process_end;
		struct {
			u32 id;
			const char *path;
			u8 build_id[20];
			u32 build_id_len; /* 0: none */
		} module;
		struct {
			u32 id;
			u32 nr;
			const struct ct_rec_frame *frames; /* leaf first */
		} site;
		struct {
			u32 id, parent, child; /* process ids; child 0: never seen alive */
			s32 child_pid;
			u32 site;
			const char *phase; /* "" none */
			const char *how;   /* "fork" "_Fork" "clone" */
			u64 start_ns;
			u64 hold_ns; /* how long the child was held at its birth */
			u64 pages_shared, huge_pages_shared, swapped;
			bool late;   /* the child ran before it was read to the end */
			u32 runs_of; /* id of the fork whose CT_REC_RUNS are this one's */
		} fork;
		struct {
			u32 id;
			u64 fork_ns; /* the clone alone */
			u64 arm_ns;  /* in our prepare handler */
			u64 event_ns;
		} fork_times;
		struct {
			u32 id;
			u64 end_ns;
			u64 copied_min, copied_max; /* both sides together */
		} fork_end;
		struct {
			u32 fork;
			enum ct_side side;
			enum ct_side_end end;
			u64 t_ns; /* of the reading */
			/* CT_UNKNOWN in all four when the side could not be read */
			u64 copied, dropped, fresh, unknown; /* fresh: new pages, JSON "new" */
			u64 kept;			     /* still the shared page */
			u64 attributed;
		} side;
		struct {
			u32 id, process;
			u64 start, end; /* bytes */
			enum ct_kind kind;
			const char *name; /* tag, VMA name or path; "" none */
			bool tagged;	  /* false: found in the maps */
			u32 site;
			enum ct_thp_advice thp;
			enum ct_ksm_advice ksm;
			enum ct_fork_advice fork_advice;
			u64 t_ns; /* when it was mapped, or first found */
		} region;
		struct {
			u32 fork, region;
			enum ct_side side;
			u64 shared, huge, copied, dropped, fresh, unknown;
		} region_count;
		struct {
			u64 t_ns;
			u32 fork;
			enum ct_side side;
			u64 copied; /* more since the last record of this fork and side */
		} timeline;
		struct {
			u32 process, fork; /* fork 0: none shared with it */
			u64 t_ns;
			u64 private_dirty;  /* bytes, the kernel's word (smaps_rollup) */
			u64 census_private; /* pages nobody else maps, by the census */
			const char *why;    /* "" or why the two may differ */
		} witness;
		struct {
			u32 process;
			const char *type; /* "map" "unmap" "remap" "advise" ... */
			u64 t_ns, dur_ns, addr, len, arg, arg2, arg3;
			u32 site;
			const char *name; /* NULL none */
		} event;
		struct {
			u32 fork; /* the pages shared at this fork, whole state */
			u32 nr;
			const struct ct_rec_run *runs; /* ascending */
		} runs;
		struct {
			u32 process, fork; /* fork 0: before the first */
			enum ct_side side;
			u64 t_ns;  /* of the fault */
			u64 page;  /* first, as a page number */
			u32 pages; /* 1, or 512: a huge page was made writable as a whole */
			u32 site;  /* 0: none, and no_site says why */
			enum ct_no_site no_site;
			enum ct_access access;
			s32 syscall; /* number, where the access is the kernel's; else -1 */
			u64 pc; /* of the instruction, or of the system call's caller; 0 unknown */
			/* enum cowtrace_action; before the write, by the rule of the running kernel
			 */
			u8 predicted;
			/* enum cowtrace_action: REUSE, COPY or ALLOC_ZEROED; UNCERTAIN: cannot be
			 * told */
			u8 observed;
			u16 reason; /* enum cowtrace_reason of predicted */
			u8 decides; /* enum cowtrace_field, where predicted is UNCERTAIN */
			u8 likely;  /* enum cowtrace_action, the same */
			bool huge;  /* mapped by a PMD before the write */
		} write;
		struct {
			u32 process;
			/* 0: a call. Else "unknown": huge at the fork, at its end not. */
			u32 fork;
			u64 t_ns;	   /* just before the call; of the last reading */
			const char *cause; /* "munmap" "madvise_dontneed" ... */
			u64 addr, len;	   /* of what was mapped by PMDs: multiples of 2 MiB */
			u32 site;
		} thp_loss;
		struct {
			u32 fork;
			enum ct_side side;
			enum ct_no_site reason;
			u64 pages; /* of the copied ones */
		} unattributed;
		struct {
			u32 fork;
			u64 pages_shared; /* at the fork itself */
		} carried;
		struct {
			u64 t_ns;
			u32 process;	      /* 0: the recording */
			const char *severity; /* "info" "warning" "error" */
			const char *code;     /* short, stable: "setuid_exec" */
			const char *text;     /* one line for people */
		} note;
	};
};

#endif
