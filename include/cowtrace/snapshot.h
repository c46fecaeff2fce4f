/* SPDX-License-Identifier: MIT */
/*
 * Point-in-time copies of live memory, without fork().
 *
 * A program puts its data into a heap, takes a snapshot while its threads go on
 * writing, and reads the memory as it was at that instant.  Taking write-protects
 * (userfaultfd); a first write to a page afterwards saves the page, once, for all
 * snapshots that still need it.  Pages that nobody writes are never copied.
 *
 * Units: lengths and offsets in bytes, counts in pages of 4 KiB, times in ns.
 * A function that returns int gives 0 or a negative errno value; errno itself is
 * left alone; cowtrace_strerror() has a sentence for each.  Output parameters are
 * last, are called ret_*, and are written on success only.
 *
 * Context.  All calls may be made from any thread at any time, unless it says
 * otherwise here.  cowtrace_snapshot_take(), _release() and cowtrace_heap_prepare(),
 * _discard() and _stats() may also be made from a signal handler.  Nothing is to be
 * called with a heap after its cowtrace_heap_destroy().
 *
 * Fork.  The child of a fork() has the heap's memory as ordinary private memory,
 * as it was; the snapshots are the parent's alone.  In the child every call gives
 * -ECHILD, except cowtrace_heap_base(), _len() and cowtrace_heap_destroy(), which
 * frees what the child has of it.  The parent may fork whenever it likes.
 *
 * What a snapshot cannot see: writes through pages that were pinned before it was
 * taken (O_DIRECT reads, buffers registered with io_uring, RDMA, vfio).  The device
 * or the kernel writes past the page tables: end such transfers before the take.
 *
 * What must not be done to a heap's memory: munmap, mremap, mprotect, fork-shared
 * mappings, and MADV_DONTNEED, MADV_FREE or MADV_REMOVE, which take away pages without
 * a write: cowtrace_heap_discard() is the same and is seen by the snapshots.
 */
#ifndef COWTRACE_SNAPSHOT_H
#define COWTRACE_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cowtrace_heap;
struct cowtrace_snapshot;

/* So many snapshots of one heap may be alive at once. */
#define COWTRACE_MAX_SNAPSHOTS 64

/* What the heap's memory is made of. */
enum cowtrace_pages {
	COWTRACE_PAGES_SMALL, /* 4 KiB, never huge (the default) */
	COWTRACE_PAGES_HUGE,  /* transparent huge pages where the kernel has them */
};

/* Who saves a page before its first write.  Results are the same. */
enum cowtrace_serve {
	/*
	 * A thread of the library's (the default).  Works with whatever the
	 * program does with signals, and, where the process may serve kernel
	 * faults (cowtrace_heap_stats.kernel_faults), with system calls that write
	 * into the heap.
	 */
	COWTRACE_SERVE_THREAD,
	/*
	 * The writing thread itself, in a SIGBUS handler: several times faster.
	 * It excludes:
	 * - system calls that write into the heap without cowtrace_heap_prepare():
	 *   EFAULT, also for root;
	 * - threads that block SIGBUS and write into the heap: the kernel ends the
	 *   process;
	 * - a SIGBUS handler that is installed after the heap was created and does
	 *   not pass on what is not its own (ours passes on);
	 * - stacks inside the heap, unless the thread has an alternate signal stack
	 *   outside it.
	 */
	COWTRACE_SERVE_SIGNAL,
};

/* What happens when saved pages have reached their limit. */
enum cowtrace_at_limit {
	/* First writes wait until a snapshot is released (the default). */
	COWTRACE_LIMIT_BLOCK,
	/* The oldest snapshot is given up: calls on it return -ESTALE. */
	COWTRACE_LIMIT_INVALIDATE,
};

/* cowtrace_heap_opts.flags */
/* Do not ask to serve kernel faults, even where that is permitted. */
#define COWTRACE_HEAP_USER_FAULTS 1u
/*
 * Writes go everywhere, and to most pages before long (a hash table under load): where
 * an eighth of 2 MiB has been written since the last take, the 16 pages around the next
 * first write are saved and released at once.  A third of the cost, for memory that may
 * be saved and never written.
 */
#define COWTRACE_HEAP_DENSE_WRITES 2u

/* All zero but sz: the defaults. */
struct cowtrace_heap_opts {
	size_t sz; /* sizeof(struct cowtrace_heap_opts), set by the caller */
	enum cowtrace_pages pages;
	enum cowtrace_serve serve;
	enum cowtrace_at_limit at_limit;
	uint32_t flags;
	/* The most that saved pages may take, in bytes; 0: no limit. */
	uint64_t saved_max;
	/*
	 * With COWTRACE_LIMIT_BLOCK: a writer that has waited so long, in ns,
	 * gives up the oldest snapshot instead.  0: it waits for ever.
	 */
	uint64_t stall_max_ns;
};

/*
 * Creates a heap: private anonymous memory, zeroed, readable and writable.
 *
 * @len: bytes; rounded up to whole pages (2 MiB with COWTRACE_PAGES_HUGE)
 * @opts: NULL for the defaults, which work for an ordinary user; copied
 * @ret_heap: the caller's, until cowtrace_heap_destroy()
 *
 * Memory: what is touched, and 1 bit for each page of the heap; while a snapshot
 * is alive 4 bytes for each page, as they are touched.
 * Context: not in a signal handler.  Cost: some 100 us.
 *
 * Returns 0, or
 * -EINVAL  @len is 0 or too large, an option has no such value, sz is wrong
 * -ENOTSUP the kernel has no userfaultfd write protection (Linux 5.7, x86-64 or
 *          arm64), or pages are not of 4 KiB
 * -EPERM   userfaultfd is forbidden here (a seccomp filter)
 * -ENOMEM, -EMFILE, -ENFILE, -EAGAIN (no thread): the system has no more of these
 * -EBUSY   COWTRACE_SERVE_SIGNAL: 64 heaps are served so already
 */
int cowtrace_heap_create(size_t len, const struct cowtrace_heap_opts *opts,
			 struct cowtrace_heap **ret_heap);

/*
 * Makes a heap of memory that the program has already: [addr, addr + len).
 * The memory stays the caller's: destroying the heap leaves it as it is.  Its
 * pages are as they are: of opts->pages, HUGE says that whole huge pages shall be
 * kept where that is cheaper.
 *
 * @addr: page-aligned
 * @len: bytes, a multiple of 4096
 * @opts, @ret_heap: as for cowtrace_heap_create()
 *
 * Context: not in a signal handler.  Cost: reading /proc/self/maps.
 *
 * Returns as cowtrace_heap_create(), and
 * -EINVAL  not page-aligned, empty, or past the end of the address space
 * -EFAULT  a part of the range is not mapped
 * -EACCES  a part of it is not readable and writable
 * -EOPNOTSUPP a part of it is shared memory, a file's, or hugetlb (= -ENOTSUP)
 * -EBUSY   a part of it is registered with another userfaultfd (another heap)
 */
int cowtrace_heap_attach(void *addr, size_t len, const struct cowtrace_heap_opts *opts,
			 struct cowtrace_heap **ret_heap);

/* The heap's first byte, and its length in bytes.  Constant; never fail. */
void *cowtrace_heap_base(const struct cowtrace_heap *heap);
size_t cowtrace_heap_len(const struct cowtrace_heap *heap);

/*
 * Makes [ptr, ptr + len) writable for the kernel: to be called before a system
 * call that writes there (read, recv, ...), where the process cannot serve kernel
 * faults.  Forgetting it gives the system call EFAULT (or a short count), never a
 * torn snapshot.  A snapshot that is taken between this call and the system call
 * protects the range again: on EFAULT, prepare and call again.
 *
 * Cost: 10 ns a page that is writable already; else saving it where a snapshot
 * needs it.
 *
 * Returns 0; -EINVAL (not within the heap); -EFAULT (unmapped under us); -ECHILD.
 */
int cowtrace_heap_prepare(struct cowtrace_heap *heap, void *ptr, size_t len);

/*
 * Drops the pages [ptr, ptr + len): they read as zero, and their memory goes back
 * to the system, while snapshots keep what they need.  In place of
 * madvise(MADV_DONTNEED), which a snapshot cannot see.
 *
 * @ptr, @len: of whole pages
 *
 * Returns 0; -EINVAL (not page-aligned, not within the heap); -EFAULT; -ECHILD.
 */
int cowtrace_heap_discard(struct cowtrace_heap *heap, void *ptr, size_t len);

/* Of the heap's whole life, but for the last five. */
struct cowtrace_heap_stats {
	size_t sz; /* sizeof(struct cowtrace_heap_stats), set by the caller */
	uint64_t takes;
	uint64_t take_ns;	   /* in cowtrace_snapshot_take(), all of them */
	uint64_t last_take_ns;	   /* ... the last one */
	uint64_t last_pause_ns;	   /* how long first writes were held by it */
	uint64_t max_pause_ns;	   /* the longest such hold */
	uint64_t protected_pages;  /* that takes protected */
	uint64_t faults;	   /* first writes that were served */
	uint64_t batches;	   /* of those, that released more than one page */
	uint64_t reused_pages;	   /* released without saving: no snapshot needed them */
	uint64_t saved_pages;	   /* saved by first writes */
	uint64_t saved_zero_pages; /* of those, all zero: they take no memory */
	uint64_t prepared_pages;   /* saved or released by prepare and discard */
	uint64_t view_pages;	   /* filled into views */
	uint64_t reread_pages;	   /* read again: written while they were being read */
	uint64_t stalls;	   /* first writes that met the limit */
	uint64_t stall_ns;
	uint64_t invalidated; /* snapshots given up at the limit */
	uint64_t peak_saved;  /* most bytes of saved pages at once */
	/* now */
	uint64_t saved;		/* bytes of saved pages */
	uint64_t metadata;	/* bytes reserved for tables; touched in part */
	uint32_t snapshots;	/* alive */
	uint32_t kernel_faults; /* 1: system calls may write into the heap */
	uint64_t dirty_pages;	/* writable: what the next take has to protect */
};

/*
 * @ret: ret->sz is set by the caller; as many fields as it covers are filled in
 *
 * Returns 0; -EINVAL (NULL, or sz too small to be one); -ECHILD.
 */
int cowtrace_heap_stats(struct cowtrace_heap *heap, struct cowtrace_heap_stats *ret);

/*
 * Ends a heap: its snapshots are released, its memory unmapped (attached memory
 * is left, writable).  No other call on it may be under way, and no thread may be
 * writing to memory that goes away.  NULL is fine.
 *
 * Context: not in a signal handler.
 */
void cowtrace_heap_destroy(struct cowtrace_heap *heap);

/*
 * Takes a snapshot: the heap as it is at one instant within this call, for all
 * threads of the process.  Writes that a thread made before are in it; if a write
 * is not in it, neither is any that was made knowing of it.
 *
 * @ret_snap: the caller's, until cowtrace_snapshot_release().  It may lie in the
 *            heap itself (and is then not part of the snapshot)
 *
 * First writes of other threads are held for a part of the call (stats:
 * last_pause_ns).  Cost: 0.7 us for each run of pages written since the last take
 * and 0.02 to 0.06 us a page; the first take protects the whole heap: 16 ms a GiB
 * of small pages (also of pages never touched), 0.06 ms of huge ones.
 *
 * Returns 0, or
 * -EMFILE   COWTRACE_MAX_SNAPSHOTS are alive
 * -EAGAIN   1024 handles are in use: calls on released snapshots have not ended
 * -ENOMEM   no memory for tables; the heap is as before
 * -EFAULT   a part of what was written since the last take was unmapped, or is no
 *           longer registered: the heap can take no more
 * -EINVAL, -ECHILD
 */
int cowtrace_snapshot_take(struct cowtrace_heap *heap, struct cowtrace_snapshot **ret_snap);

/* The length of the snapshot: the heap's.  Never fails. */
size_t cowtrace_snapshot_len(const struct cowtrace_snapshot *snap);

/*
 * Copies [offset, offset + len) of the snapshot to @buf.
 *
 * @offset: bytes from the heap's first byte
 * @buf: the caller's; may lie in the heap
 *
 * Cost: memcpy.  Nothing is written to the heap, nobody is held.
 *
 * Returns 0, or
 * -EINVAL  it ends past the snapshot's end
 * -ESTALE  the snapshot was given up at the limit of saved pages
 * -EBADF   it was released (noticed until 1023 more have been taken)
 * -EFAULT  the heap was unmapped there, @buf must be valid memory
 * -ECHILD
 */
int cowtrace_snapshot_read(struct cowtrace_snapshot *snap, size_t offset, void *buf, size_t len);

/*
 * Maps the snapshot, read-only, filled page by page as it is touched.  All of it
 * lies at one distance from the live heap: a pointer p into the heap has its
 * counterpart at (char *)p - (char *)cowtrace_heap_base(heap) + (char *)*ret_base.
 *
 * @ret_base: the library's, until the snapshot is released.  A second call gives
 *            the same one.
 *
 * Every page that is touched takes memory of its own.  A system call that reads
 * from a page of it not touched before fails with EFAULT, unless the process may
 * serve kernel faults: use cowtrace_snapshot_read() or _write_fd() instead.  When
 * the snapshot is given up at the limit, touching what was not filled yet raises
 * SIGBUS.
 *
 * Context: not in a signal handler.  Cost: a thread, at the heap's first view; then
 * some 5 to 20 us a page touched at random, less in order.
 *
 * Returns 0; -ENOMEM, -EMFILE, -ENFILE, -EAGAIN, -EPERM as cowtrace_heap_create();
 * -EINVAL; -ESTALE, -EBADF, -ECHILD as cowtrace_snapshot_read().
 */
int cowtrace_snapshot_view(struct cowtrace_snapshot *snap, const void **ret_base);

/* All zero but sz: the defaults. */
struct cowtrace_write_opts {
	size_t sz; /* sizeof(struct cowtrace_write_opts), set by the caller */
	/*
	 * Called after each piece, up to 1 MiB, from the calling thread: @done of
	 * @total bytes are written.  Not 0: stop, and return that.  NULL: none.
	 */
	int (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	uint64_t bytes_per_s; /* write no faster than this; 0: as fast as it goes */
	uint32_t *ret_crc;    /* CRC-32C of all that was written; NULL: none */
};

/*
 * Writes the whole snapshot, in order.
 *
 * @fd: a file (from its present position on, which then stands behind), a pipe or a
 *      socket; one that does not block is waited for
 * @opts: NULL for the defaults
 *
 * To a regular file pages are written from where they lie, without a copy; one that
 * is first written meanwhile is written again from what was saved, so that the file
 * is right when the call returns, and not before.  Writers are never held.
 *
 * Cost: that of write(2); its CRC 0.1 to 0.2 ms a MiB.  SIGPIPE comes as from write(2).
 * Context: not in a signal handler.
 *
 * Returns 0; what progress() returned; -errno as of write(2) (-ENOSPC, -EPIPE, -EIO,
 * ...): the file holds a part; -EINVAL; -ENOMEM; -ESTALE, -EBADF, -EFAULT, -ECHILD as
 * cowtrace_snapshot_read().
 */
int cowtrace_snapshot_write_fd(struct cowtrace_snapshot *snap, int fd,
			       const struct cowtrace_write_opts *opts);

/* The CRC-32C (Castagnoli) of the whole snapshot.  Returns as cowtrace_snapshot_read(). */
int cowtrace_snapshot_crc(struct cowtrace_snapshot *snap, uint32_t *ret_crc);

/*
 * The same checksum of memory: of parts in turn when @crc is what the part before
 * gave; 0 to begin with.  Async-signal-safe.  6 to 10 GB/s.
 */
uint32_t cowtrace_crc32c(uint32_t crc, const void *buf, size_t len);

/* Bytes [offset, offset + len) of the heap, whole pages. */
struct cowtrace_run {
	size_t offset;
	size_t len;
};

/*
 * Lists the pages that differ between two snapshots of a heap, in order.
 *
 * @older: taken before @newer
 * @newer: NULL for the heap as it is now.  Then a page is listed when it was
 *         released for writing since @older (its neighbours in a batch too): a list
 *         that may be too long, and is never too short for what was written before
 *         the call.  Between two snapshots the contents are compared: it is exact.
 * @offset: where to begin, bytes, page-aligned; 0, and then *ret_next
 * @runs: the caller's array of @nr_runs
 * @ret_nr: how many were filled in
 * @ret_next: where to go on; the heap's length when there is no more
 *
 * Cost: 1 ns a page of the heap at most, and two reads of a page that was written.
 *
 * Returns 0; -EINVAL (also: of two heaps, or in the wrong order); -ESTALE, -EBADF,
 * -EFAULT, -ECHILD as cowtrace_snapshot_read().
 */
int cowtrace_snapshot_diff(struct cowtrace_snapshot *older, struct cowtrace_snapshot *newer,
			   size_t offset, struct cowtrace_run *runs, size_t nr_runs, size_t *ret_nr,
			   size_t *ret_next);

/*
 * Gives a snapshot back: its saved pages that no other snapshot needs go to the
 * system at once (when other threads' calls on it are still under way: when the last
 * of them ends), and its view is unmapped.  NULL is fine, and so is a second release,
 * until 1023 more snapshots have been taken.
 *
 * Cost: 0.2 us a saved page.
 */
void cowtrace_snapshot_release(struct cowtrace_snapshot *snap);

/*
 * A sentence for an error of this header: what it means and what to do, without a
 * full stop.  Static storage; never NULL.
 *
 * @err: what a call returned, negative or not; 0 has a sentence too
 */
const char *cowtrace_strerror(int err);

#ifdef __cplusplus
}
#endif

#endif
