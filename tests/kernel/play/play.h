/* SPDX-License-Identifier: MIT */
/*
 * The second player of the scenario language: it plays a file on the kernel it
 * runs on, each process of the scenario a real one, and reports what happened to
 * each written page, from page frames and smaps.  No cowtrace code: what it says
 * is what the kernel did.
 */
#ifndef PLAY_H
#define PLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define PM_PRESENT (1ULL << 63)
#define PM_SWAP (1ULL << 62)
#define PM_PFN ((1ULL << 55) - 1)
#define MAX_PROCS 16
#define MAX_REGIONS 8
#define MAX_PINS 16
#define MAX_SWAPPED 4096 /* pages of one pageout */
#define NAME_LEN 16
#define MAX_WORDS 10

enum op {
	OP_NONE,
	OP_MAP,
	OP_WRITE,
	OP_READ,
	OP_FORK,
	OP_EXIT,
	OP_EXEC,
	OP_UNMAP,
	OP_DONTNEED,
	OP_FREE,
	OP_PROTECT,
	OP_REMAP,
	OP_ADVISE,
	OP_PAGEOUT,
	OP_PIN,
	OP_UNPIN,
	OP_COLLAPSE,
	OP_SPLIT,
	OP_PFN,
	OP_SYSWRITE,
	OP_POKE,
	OP_CLEARDIRTY,
	OP_UFFD,
	OP_WP,
	OP_UNWP,
	OP_SCAN,
	OP_CPU,
	OP_LARGE,
};

struct region {
	char name[NAME_LEN];
	char kind[NAME_LEN];
	unsigned long addr; /* now */
	unsigned long nr;   /* pages */
};

struct pin {
	unsigned long addr;
	int fd[2]; /* pipe, or ring and -1 */
};

/* One real process; lives in memory that all of them share. */
struct proc {
	char name[NAME_LEN];
	pid_t pid; /* 0: the slot is free, or its process is gone */
	struct region regions[MAX_REGIONS];
	/* the call: the controller fills it in and bumps `asked` */
	uint32_t asked, answered;
	enum op op;
	int region;
	unsigned long first, last; /* pages of the region, both included */
	int arg;
	int child;	  /* slot of the process to fork into, or to poke */
	uint64_t content; /* 0: unique */
	/* the answer */
	int error; /* errno */
	uint64_t reuse, copy, zeroed, fresh, moved_huge;
	uint64_t pfn;
};

struct shared {
	pid_t player;
	int cpu;	 /* the one that all run on, until told otherwise */
	uint64_t unique; /* content that no other page has */
	struct proc procs[MAX_PROCS];
	char skip[160]; /* not empty: the scenario cannot be played here, and why */
};

extern struct shared *sh;

/* One line of a scenario. */
struct event {
	char text[256];
	char *word[MAX_WORDS];
	int nr;
	int line;
};

/* What the scenario that is being played asked for so far. */
struct run {
	bool nodrain;
	bool swap;
	bool ksm;
	bool first; /* no step printed yet */
};

extern struct run run;

/* events.c: what an event's words mean */
bool word_is(const struct event *ev, int word, const char *text);
struct proc *find_proc(const char *name);
void play_event(const struct event *ev);

/* proc.c: the side of the played process */
void proc_serve(int slot) __attribute__((noreturn));
void proc_exec_main(int slot) __attribute__((noreturn));
uint64_t pagemap_of(int fd, unsigned long addr);

/* touch.c: reads and writes; @map is a pagemap of the process that they go to */
void touch_settle(void);
bool frame_is(uint64_t pfn, uint64_t flag);
int touch_write(struct proc *p, struct region *r, int map);
int touch_poke(struct proc *p);
void touch_read(struct proc *p, struct region *r, int map);

/* track.c: those who want to know of writes, on the side of the played process */
void track_settle(void);
int track_uffd(const struct region *r, int mode);
int track_wp(unsigned long addr, size_t len, bool on);
int track_scan(int pagemap, unsigned long addr, size_t len);
int track_clear_dirty(void);

/* control.c: the side of the player */
int call(struct proc *p, enum op op);
struct proc *spawn(const char *name);
void reap(struct proc *p);
unsigned long huge_kb(pid_t pid);
void drain(bool all_cpus);

/* host.c: what is set for a scenario and put back after it */
bool host_init(void);
bool setting(const char *path, const char *value);
bool put(const char *path, const char *value); /* not put back */
void settings_restore(void);
bool swap_on(const char *kind);
void swap_off(void);
bool have_file(const char *path);
bool ksm_start(void);
void ksm_stop(void);
void huge_sizes(const char *kind);

/* keeper.c: the lock, and putting back when the player is killed */
bool keeper_start(void);
void keeper_unlock(void);

/* init.c: the only process of a small virtual machine */
void init_main(void) __attribute__((noreturn));

void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool play_file(const char *path);
void occupy_khugepaged(void);

#endif
