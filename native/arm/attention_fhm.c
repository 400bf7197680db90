#define FHM 1
#define ISA fhm
#include "attention.h"
