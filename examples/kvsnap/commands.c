/* SPDX-License-Identifier: MIT */
/* What each command does, and its answer in the Redis protocol. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dump.h"
#include "kvsnap.h"
#include "store.h"

static void reply(struct client *c, const char *text)
{
	c->out_len += (size_t)snprintf(c->out + c->out_len, BUF_LEN - c->out_len, "%s\r\n", text);
}

static void reply_number(struct client *c, long n)
{
	c->out_len += (size_t)snprintf(c->out + c->out_len, BUF_LEN - c->out_len, ":%ld\r\n", n);
}

static void reply_bulk(struct client *c, const char *p, size_t len)
{
	c->out_len += (size_t)snprintf(c->out + c->out_len, 32, "$%zu\r\n", len);
	memcpy(c->out + c->out_len, p, len);
	c->out_len += len;
	reply(c, "");
}

static void info(struct client *c)
{
	struct cowtrace_heap_stats st = { .sz = sizeof(st) };
	struct dump_result r = dump_last();
	char text[500];

	cowtrace_heap_stats(kv_heap, &st);
	snprintf(text, sizeof(text),
		 "dumping:%d\r\nlast_ok:%d\r\nlast_pause_us:%.0f\r\nlast_took_ms:%.1f\r\n"
		 "saved_pages:%lu\r\nsaved_bytes:%lu\r\npeak_saved:%lu\r\nfaults:%lu\r\n",
		 dump_running(), r.ok, r.pause_us, r.took_ms, (unsigned long)st.saved_pages,
		 (unsigned long)st.saved, (unsigned long)st.peak_saved, (unsigned long)st.faults);
	reply_bulk(c, text, strlen(text));
}

static void increment(struct client *c, struct arg *a)
{
	char text[24];
	size_t len = 0;
	const char *old = store_get(kv_store, a[1].p, a[1].len, &len);

	snprintf(text, sizeof(text), "%.*s", (int)(len < 20 ? len : 20), old ? old : "");
	snprintf(text, sizeof(text), "%ld", atol(text) + 1);
	store_set(kv_store, a[1].p, a[1].len, text, strlen(text));
	reply_number(c, atol(text));
}

void kv_command(struct client *c, struct arg *a, size_t nr)
{
	const char *value, *name = a[0].p;
	size_t len = 0;

	if (!strcasecmp(name, "SET") && nr >= 3)
		reply(c, store_set(kv_store, a[1].p, a[1].len, a[2].p, a[2].len)
				 ? "-OOM the heap is full"
				 : "+OK");
	else if (!strcasecmp(name, "GET") && nr == 2)
		(value = store_get(kv_store, a[1].p, a[1].len, &len)) ? reply_bulk(c, value, len)
								      : reply(c, "$-1");
	else if (!strcasecmp(name, "DEL") && nr == 2)
		reply_number(c, store_del(kv_store, a[1].p, a[1].len));
	else if (!strcasecmp(name, "INCR") && nr == 2)
		increment(c, a);
	else if (!strcasecmp(name, "DBSIZE"))
		reply_number(c, (long)kv_store->nr_keys);
	else if (!strcasecmp(name, "PING"))
		reply(c, "+PONG");
	else if (!strcasecmp(name, "INFO"))
		info(c);
	else if (!strcasecmp(name, "SAVE") && nr == 2)
		reply(c, dump_begin(kv_heap, a[1].p, DUMP_STOP, 0) ? "+OK" : "-ERR no dump");
	else if (!strcasecmp(name, "BGSAVE") && nr >= 2)
		reply(c,
		      dump_begin(kv_heap, a[1].p,
				 nr > 2 && !strcasecmp(a[2].p, "fork") ? DUMP_FORK : DUMP_SNAPSHOT,
				 nr > 3 ? atof(a[3].p) : 0)
			      ? "+Background saving started"
			      : "-ERR no dump");
	else if (!strcasecmp(name, "CONFIG"))
		reply(c, "*0"); /* redis-benchmark asks */
	else if (!strcasecmp(name, "SHUTDOWN"))
		exit(0);
	else
		reply(c, "-ERR unknown command");
}
