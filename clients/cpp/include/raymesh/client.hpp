// The whole of raymesh's client.
#pragma once

#include "raymesh/client/client.hpp"        // IWYU pragma: export
#include "raymesh/client/error.hpp"         // IWYU pragma: export
#include "raymesh/client/options.hpp"       // IWYU pragma: export
#include "raymesh/client/subscription.hpp"  // IWYU pragma: export
