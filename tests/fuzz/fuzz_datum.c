/* SPDX-License-Identifier: MIT */
/* A record's value. Whatever rn_datum_parse takes, protobuf-c takes, with the same fields; packed again it parses the same. */
#include <string.h>

#include "base/rn_error.h"
#include "caffe.pb-c.h"
#include "data/store/rn_datum.h"
#include "fuzz.h"

static void compare(const rn_datum *d, const uint8_t *data, size_t n)
{
    Rn__Datum *m = rn__datum__unpack(NULL, n, data);
    RN_FUZZ_CHECK(m != NULL);
    RN_FUZZ_CHECK((m->has_label ? m->label : 0) == d->label);
    RN_FUZZ_CHECK((m->has_channels ? m->channels : 0) == d->channels);
    RN_FUZZ_CHECK((m->has_height ? m->height : 0) == d->height);
    RN_FUZZ_CHECK((m->has_width ? m->width : 0) == d->width);
    RN_FUZZ_CHECK((m->has_encoded && m->encoded) == d->encoded);
    RN_FUZZ_CHECK(m->has_data && m->data.len == d->data_n);
    RN_FUZZ_CHECK(d->data_n == 0 || memcmp(m->data.data, d->data, d->data_n) == 0);
    rn__datum__free_unpacked(m, NULL);
}

static void round_trip(const rn_datum *d)
{
    rn_buf b = {0};
    rn_datum again;
    int rc = d->encoded ? rn_datum_pack_encoded(d->data, d->data_n, d->label, &b)
                        : rn_datum_pack_raw(d->data, d->channels, d->height, d->width, d->label, &b);
    RN_FUZZ_CHECK(rc == RN_OK);
    RN_FUZZ_CHECK(rn_datum_parse(b.data, b.n, &again) == RN_OK);
    RN_FUZZ_CHECK(again.label == d->label && again.encoded == d->encoded && again.data_n == d->data_n);
    rn_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rn_datum d;
    if (rn_datum_parse(data, n, &d) < 0)
        return 0;
    RN_FUZZ_CHECK(d.data >= data && d.data_n <= n && (size_t)(d.data - data) <= n - d.data_n);
    compare(&d, data, n);
    round_trip(&d);
    return 0;
}
