#include "utf7.h"
