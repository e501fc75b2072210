/* A stand-in for libnvidia-ml.so.1 whose machine is told by the variable FAKE_NVML: "gpus=2,lost=1,mig=0". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, DENIED = 4, NOT_FOUND = 6, TOO_SMALL = 7, LOST = 15, WRONG_VERSION = 25 };
typedef struct { int index, instance; } Device; /* instance 0: the GPU itself */
typedef unsigned long long u64;

static Device devices[16][8];
static int reads;

static int setting(const char *name, int otherwise) {
    const char *text = getenv("FAKE_NVML");
    size_t length = strlen(name);
    while (text && *text) {
        if (!strncmp(text, name, length) && text[length] == '=') return atoi(text + length + 1);
        text = strchr(text, ',');
        if (text) text++;
    }
    return otherwise;
}

static int has_mig(Device *d) { return d->index == setting("mig", -1) && !d->instance; }
static int lost(Device *d) { return d->index == setting("lost", -1) ? LOST : OK; }
static int plain(Device *d) { return lost(d) ? LOST : has_mig(d) ? UNSUPPORTED : OK; } /* MIG hides it */

#define ANSWER(check, value) do { int code = (check); if (code) return code; value; return OK; } while (0)

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (setting("hang", 0)) sleep(setting("hang", 0));
    reads = 0;
    return setting("init", OK);
}
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { static char text[32]; sprintf(text, "code %d", code); return text; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "570.86.10"); return OK; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 12080; return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = setting("gpus", 1); return setting("count", OK); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    if ((int)index == setting("gone", -1)) return LOST;
    if ((int)index == setting("denied", -1)) return DENIED;
    devices[index][0].index = index;
    *device = &devices[index][0];
    return OK;
}
int nvmlDeviceGetName(Device *d, char *text, unsigned size) {
    ANSWER(lost(d), snprintf(text, size, "NVIDIA Fake"));
}
int nvmlDeviceGetUUID(Device *d, char *text, unsigned size) {
    ANSWER(lost(d), snprintf(text, size, "%s-%d-%d", d->instance ? "MIG" : "GPU", d->index, d->instance));
}
int nvmlDeviceGetCudaComputeCapability(Device *d, int *major, int *minor) { ANSWER(lost(d), (*major = 9, *minor = 0)); }
int nvmlDeviceGetMemoryInfo(Device *d, u64 *m) {
    ANSWER(lost(d), (m[0] = 80ULL << 30, m[1] = 59ULL << 30, m[2] = 21ULL << 30));
}
typedef struct { unsigned version; u64 total, reserved, free, used; } MemoryV2;
#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(Device *d, MemoryV2 *m) {
    if (m->version != 0x02000028 || setting("wrong_version", 0)) return WRONG_VERSION;
    u64 gib = d->instance ? 10 : 80, used = gib / 4;
    ANSWER(lost(d), (m->total = gib << 30, m->reserved = 1ULL << 30, m->used = used << 30, m->free = (gib - used - 1) << 30));
}
#endif
int nvmlDeviceGetUtilizationRates(Device *d, unsigned *rates) {
    if (setting("lost_after", 0) && d->index == 0 && ++reads > setting("lost_after", 0)) return LOST;
    ANSWER(plain(d), (rates[0] = setting("busy", 37), rates[1] = 12));
}
int nvmlDeviceGetClockInfo(Device *d, int clock, unsigned *mhz) { ANSWER(lost(d), *mhz = clock == 1 ? 1755 : 2619); }
int nvmlDeviceGetMaxClockInfo(Device *d, int clock, unsigned *mhz) { ANSWER(lost(d), *mhz = clock == 1 ? 1980 : 2619); }
int nvmlDeviceGetPowerUsage(Device *d, unsigned *mw) { ANSWER(lost(d), *mw = 312500); }
int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned *mw) { ANSWER(lost(d), *mw = 700000); }
int nvmlDeviceGetTemperature(Device *d, int sensor, unsigned *c) { (void)sensor; ANSWER(plain(d), *c = 54); }
static int reasons(Device *d, u64 *bits) { ANSWER(lost(d), *bits = 0x4 | 0x40 | 0x800); }
#ifdef OLD_DRIVER
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, u64 *bits) { return reasons(d, bits); }
#else
int nvmlDeviceGetCurrentClocksEventReasons(Device *d, u64 *bits) { return reasons(d, bits); }
#endif
int nvmlDeviceGetCurrPcieLinkGeneration(Device *d, unsigned *v) { ANSWER(lost(d), *v = 1); }
int nvmlDeviceGetMaxPcieLinkGeneration(Device *d, unsigned *v) { ANSWER(lost(d), *v = 5); }
int nvmlDeviceGetCurrPcieLinkWidth(Device *d, unsigned *v) { ANSWER(lost(d), *v = 16); }
int nvmlDeviceGetMaxPcieLinkWidth(Device *d, unsigned *v) { ANSWER(lost(d), *v = 16); }

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
static void bus(Pci *pci, int index) { memset(pci, 0, sizeof *pci); sprintf(pci->bus_id, "00000000:%02X:00.0", 0x3A + index); }
int nvmlDeviceGetPciInfo_v3(Device *d, Pci *pci) { ANSWER(lost(d), bus(pci, d->index)); }

/* Links 0 and 1 lead to the next GPU, 2 and 3 to a switch, 4 is down; there are no more. */
static int link_of(Device *d, unsigned number) { return lost(d) ? LOST : has_mig(d) ? UNSUPPORTED : number > 4 ? INVALID : OK; }
int nvmlDeviceGetNvLinkState(Device *d, unsigned n, unsigned *up) {
    if (setting("nvlink", 1) == 0) return UNSUPPORTED;
    ANSWER(link_of(d, n), *up = n < 4);
}
int nvmlDeviceGetNvLinkVersion(Device *d, unsigned n, unsigned *v) { ANSWER(link_of(d, n), *v = 4); }
int nvmlDeviceGetNvLinkRemotePciInfo_v2(Device *d, unsigned n, Pci *pci) {
    ANSWER(link_of(d, n), bus(pci, n < 2 ? (d->index + 1) % setting("gpus", 1) : 100));
}
#ifndef OLD_DRIVER
int nvmlDeviceGetNvLinkRemoteDeviceType(Device *d, unsigned n, unsigned *kind) { ANSWER(link_of(d, n), *kind = n < 2 ? 0 : 2); }
#endif

typedef struct { unsigned pid; u64 memory; unsigned gpu_instance, compute_instance; } Process;
static int processes(Device *d, unsigned *count, Process *list) {
    if (setting("hide_processes", 0)) return DENIED;
    if (lost(d)) return LOST;
    if (*count < 2) { *count = 2; return TOO_SMALL; }
    Process running[2] = {{setting("pid", 1), 18ULL << 30, -1, -1}, {4000000, -1ULL, -1, -1}};
    memcpy(list, running, sizeof running);
    *count = 2;
    return OK;
}
#ifdef OLD_DRIVER
int nvmlDeviceGetComputeRunningProcesses_v2(Device *d, unsigned *n, Process *p) { return processes(d, n, p); }
int nvmlDeviceGetGraphicsRunningProcesses_v2(Device *d, unsigned *n, Process *p) { (void)d, (void)p; *n = 0; return OK; }
#else
int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *n, Process *p) { return processes(d, n, p); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device *d, unsigned *n, Process *p) { (void)d, (void)p; *n = 0; return OK; }
#endif

int nvmlDeviceGetMigMode(Device *d, unsigned *now, unsigned *later) {
    if (setting("mig", -1) < 0) return UNSUPPORTED;
    ANSWER(lost(d), (*now = has_mig(d), *later = *now));
}
int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned *count) { ANSWER(lost(d), *count = 7); }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned index, Device **instance) {
    if (index != 0 && index != 2) return NOT_FOUND;
    devices[d->index][index + 1] = (Device){d->index, index + 1};
    *instance = &devices[d->index][index + 1];
    return OK;
}
int nvmlDeviceGetGpuInstanceId(Device *d, unsigned *id) { ANSWER(lost(d), *id = d->instance + 6); }
typedef struct { unsigned multiprocessors, others[7]; u64 memory_mb; } Attributes;
int nvmlDeviceGetAttributes_v2(Device *d, Attributes *a) { ANSWER(lost(d), (memset(a, 0, sizeof *a), a->multiprocessors = 16)); }
