/* SPDX-License-Identifier: MIT */
/*
 * What the programs of this folder share: each states one behaviour of the kernel
 * that the census relies on.  Nothing here is cowtrace's, so that a wrong idea of
 * the kernel cannot be wrong in the same way on both sides.
 *
 * A program prints what it measured and ends with 0 (the kernel does so), 1 (it
 * does otherwise) or 77 (it cannot be seen here; the last line says why).
 */
#ifndef LAB_H
#define LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096UL
#define HUGE (512 * PAGE)

/* pagemap */
#define PM_PFN ((1ULL << 55) - 1)
#define PM_EXCLUSIVE (1ULL << 56)
#define PM_FILE (1ULL << 61)
#define PM_SWAPPED (1ULL << 62)
#define PM_PRESENT (1ULL << 63)
/* kpageflags */
#define KPF_ANON (1ULL << 12)
#define KPF_THP (1ULL << 22)
#define KPF_ZERO (1ULL << 24)
#define KPF_ANON_EXCLUSIVE (1ULL << 34)

/* A failed check is printed and remembered; the program goes on. */
#define check(cond, ...) lab_check((cond), __FILE__, __LINE__, __VA_ARGS__)
__attribute__((format(printf, 4, 5))) void lab_check(bool ok, const char *file, int line,
						     const char *fmt, ...);
/*
 * The program's exit status.  When checks failed while the system moved pages
 * (another process's huge page makes the kernel compact memory), the program is
 * run again, some times at most: what the kernel really does fails every time.
 */
int lab_result(void);

/* Neither returns. */
__attribute__((noreturn, format(printf, 1, 2))) void lab_skip(const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2))) void lab_die(const char *fmt, ...);

/* Skips unless pagemap shows PFNs and kpagecount can be read. */
void lab_need_pfns(void);

/* A pagemap of pid (0: of this process). */
int lab_pagemap(pid_t pid);
uint64_t lab_entry(int pagemap, const volatile void *addr);
void lab_entries(int pagemap, const volatile void *addr, size_t nr, uint64_t *ret);
/* 0 where no page is present. */
uint64_t lab_pfn(int pagemap, const volatile void *addr);

uint64_t lab_kflags(uint64_t pfn);
uint64_t lab_kcount(uint64_t pfn);

/* Private anonymous memory, not touched; never part of a large folio. */
char *lab_map(size_t nr_pages);
/* The same, aligned to 2 MiB and advised MADV_HUGEPAGE. */
char *lab_map_huge(size_t nr_units);
/* One byte into each page: value. */
void lab_fill(char *p, size_t nr_pages, char value);
/* lru_add_drain_all(): pages in a CPU's batch have one reference more. */
void lab_drain(void);

/* A forked child that does one step after the other, when told. */
struct lab_child {
	pid_t pid;
	int sock;
	int pagemap;
};
/* step(n) runs in the child at the n-th lab_child_step(). */
struct lab_child lab_child_start(void (*step)(int n));
void lab_child_step(struct lab_child *c);
/* The child ends and is reaped; returns its wait status. */
int lab_child_end(struct lab_child *c);

/*
 * Takes the lock under which tests change system settings, waiting for it; it
 * ends with the program.
 */
void lab_sysfs_lock(void);
/* false, and ret unchanged: it cannot be read. */
bool lab_read_text(const char *path, char *ret, size_t len);
bool lab_write_text(const char *path, const char *text);
/* A counter of /proc/vmstat; 0: there is none. */
uint64_t lab_vmstat(const char *name);

double lab_now(void);
void lab_pin(int cpu);
/* Processors that this process may use. */
int lab_nr_cpus(void);

#endif
