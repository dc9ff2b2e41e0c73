"""Every world of every shelf."""

import world_shelf
import world_shelf_transfer

WORLDS = (*world_shelf.WORLDS, *world_shelf_transfer.WORLDS)
COVERAGE = (*world_shelf.COVERAGE, *world_shelf_transfer.COVERAGE)
