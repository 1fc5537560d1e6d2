/* SPDX-License-Identifier: MIT */
/*
 * What a check found: lines of text, each of a kind and a level. All are counted; of each kind and level the first 200
 * in the order of their text are kept, so that what is kept does not depend on which thread was faster. Any thread may
 * add.
 */
#ifndef RN_FINDINGS_H
#define RN_FINDINGS_H

#include <pthread.h>
#include <stdint.h>

/* What is the matter; the words of rn_kind_name() are those of JSON reports and manifests. */
enum rn_kind {
    RN_K_DIGEST = 0,  /* MD5, SHA-256 or a packed set's chain is not what it should be */
    RN_K_SIZE,        /* an archive's bytes are not what they should be */
    RN_K_UNREADABLE,  /* the disk or the permissions */
    RN_K_ARCHIVE,     /* no archive, damaged, or cut short */
    RN_K_ENTRY,       /* a link, a device, a folder where images belong, a name that leads out */
    RN_K_NAME,        /* a name of another form than ILSVRC2012's */
    RN_K_COUNT,       /* so many images or classes instead of so many */
    RN_K_MISSING,     /* a file, an image, a class that should be there */
    RN_K_EXTRA,       /* one that should not */
    RN_K_DUPLICATE,   /* one that is there twice */
    RN_K_EMPTY,       /* zero bytes; a class without images */
    RN_K_TRUNCATED,   /* an image whose end is missing */
    RN_K_DAMAGED,     /* an image or record that cannot be decoded */
    RN_K_NOT_IMAGE,   /* neither JPEG nor PNG */
    RN_K_UNSUPPORTED, /* a JPEG or PNG of a kind or size that is not decoded */
    RN_K_LABEL,       /* an image whose label is not its class's */
    RN_K_LABEL_ORDER, /* labels that are not 0..n-1 over the sorted class names */
    RN_K_SEAL,        /* a packed set without its seal, or that its seal contradicts */
    RN_K_UNFINISHED,  /* an extraction that did not end */
    RN_K_PNG,         /* from here on oddities: a PNG named .JPEG */
    RN_K_CMYK,        /* four components */
    RN_K_EXIF,        /* EXIF data that points outside itself */
    RN_K_WARNING,     /* libjpeg-turbo decodes it with a warning */
    RN_NKINDS
};

const char *rn_kind_name(enum rn_kind kind); /* "label_order" */
/* The oddity (RN_K_PNG...) of that name, -1 for any other word. */
int rn_oddity_kind(const char *name);

enum rn_level {
    RN_BAD = 0, /* damage: the set is not what it should be */
    RN_NOTE,    /* odd, and does no harm */
    RN_KNOWN,   /* odd, and the manifest says so of this very file */
    RN_NLEVELS
};

enum { RN_FINDINGS_KEPT = 200 };

typedef struct rn_finding {
    enum rn_kind kind;
    enum rn_level level;
    char *name; /* of what it is about: a file, a class, an archive */
    char *text; /* one line, for people; names it too */
} rn_finding;

typedef struct rn_findings {
    rn_finding *row;
    int n, cap;
    int kept[RN_NKINDS][RN_NLEVELS];
    uint64_t count[RN_NKINDS][RN_NLEVELS]; /* all */
    pthread_mutex_t lock;
} rn_findings;

void rn_findings_init(rn_findings *f);
void rn_findings_add(rn_findings *f, enum rn_level level, enum rn_kind kind, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
uint64_t rn_findings_total(const rn_findings *f, enum rn_level level);
void rn_findings_sort(rn_findings *f); /* by level, kind, text */
void rn_findings_free(rn_findings *f);

#endif
