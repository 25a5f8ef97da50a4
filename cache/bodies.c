#include "bodies.h"
