/* SPDX-License-Identifier: MIT */
/* Which operations of streams come before which: a count of operations for each stream, and what each knows of the others'. */
#include "emulate_check_order.h"

#include <map>
#include <vector>

#include "emulate_check.h"

typedef std::vector<unsigned> known; /* of stream i, so many operations are done */

static struct {
    unsigned last; /* number given to an operation */
    struct {
        unsigned stream, nth;
        known before;
    } ops[CHECK_OPS];
    std::map<const void *, unsigned> index; /* of streams, from 0 */
    std::vector<known> streams;             /* behind what was given to each last */
    std::map<const void *, known> events;
    known host;
} order;

unsigned rn_check_op;

static void join(known *to, const known &from)
{
    if (to->size() < from.size())
        to->resize(from.size());
    for (size_t i = 0; i < from.size(); i++)
        (*to)[i] = (*to)[i] < from[i] ? from[i] : (*to)[i];
}

static unsigned index_of(const void *stream)
{
    const auto at = order.index.insert({stream, (unsigned)order.streams.size()});

    if (at.second)
        order.streams.push_back(known(order.streams.size() + 1));
    return at.first->second;
}

unsigned rn_check_give(const void *stream)
{
    const unsigned s = index_of(stream);
    known *now = &order.streams[s];

    if (order.last == CHECK_OPS - 1) {
        rn_check_ops_anew();
        order.last = 0;
    }
    auto &op = order.ops[++order.last];
    join(now, order.host);
    op.before = *now;
    op.stream = s;
    op.nth = ++(*now)[s];
    return order.last;
}

unsigned rn_check_begin(unsigned op)
{
    const unsigned before = rn_check_op;

    rn_check_op = op;
    return before;
}

void rn_check_end(unsigned before)
{
    rn_check_op = before;
}

bool rn_check_op_before(unsigned a, unsigned b)
{
    const known &k = order.ops[b].before;

    return a == 0 || (order.ops[a].stream < k.size() && k[order.ops[a].stream] >= order.ops[a].nth);
}

void rn_check_wait(const void *stream)
{
    if (stream)
        return join(&order.host, order.streams[index_of(stream)]);
    for (const known &k : order.streams)
        join(&order.host, k);
}

void rn_check_record(const void *event, const void *stream)
{
    order.events[event] = order.streams[index_of(stream)];
    join(&order.events[event], order.host);
}

void rn_check_wait_event(const void *stream, const void *event)
{
    join(stream ? &order.streams[index_of(stream)] : &order.host, order.events[event]);
}
