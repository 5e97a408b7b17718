"""Slots that jobs wait for: turns go round between groups, and nobody holds more than a share."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable


class Turn:
    """One job's wait for a slot, and its hold on it.

    Args:
        slots: where it waits.
        requester: who asks.
        group: where.
    """

    __slots__ = ("_ended", "_future", "_slots", "granted", "group", "requester")

    def __init__(self, slots: "FairSlots", requester: Hashable, group: Hashable) -> None:
        self.requester = requester
        self.group = group
        self.granted = False
        self._slots = slots
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended = False

    @property
    def place(self) -> int:
        """Place in the order of turns, from 1; 0 once it has come."""
        return 0 if self.granted or self._ended else self._slots.place(self)

    async def wait(self) -> None:
        """Wait for the slot; cancelled when the turn is given up."""
        await self._future

    def grant(self) -> None:
        """Let the wait end; the slots call this."""
        self.granted = True
        if not self._future.done():  # it may have been cancelled a moment ago
            self._future.set_result(None)

    def release(self) -> None:
        """Give the slot back, or the wait up; once is enough."""
        if not self._ended:
            self._ended = True
            self._slots.release(self)
            self._future.cancel()


class FairSlots:
    """A number of slots, shared fairly.

    Args:
        slots: how many may be held at the same time.
        per_group: how many by one group; None is all.
        per_requester: how many by one requester, in whatever groups; None is all.
    """

    def __init__(self, slots: int, *, per_group: int | None = None, per_requester: int | None = None) -> None:
        self._free = slots
        self._per_group = slots if per_group is None else per_group
        self._per_requester = slots if per_requester is None else per_requester
        self._waiting: OrderedDict[Hashable, deque[Turn]] = OrderedDict()
        self._by_group: Counter[Hashable] = Counter()
        self._by_requester: Counter[Hashable] = Counter()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(queue) for queue in self._waiting.values())

    def enter(self, requester: Hashable, group: Hashable) -> Turn:
        """Take a place in the queue, which is also a slot if there is one."""
        turn = Turn(self, requester, group)
        self._waiting.setdefault(group, deque()).append(turn)
        self._give_turns()
        return turn

    def place(self, turn: Turn) -> int:
        """Place of a turn that waits in the order in which they come, from 1; turns call this."""
        index = self._waiting[turn.group].index(turn)
        ahead = 0
        passed = False
        for group, queue in self._waiting.items():
            if group == turn.group:
                ahead += index
                passed = True
            else:
                ahead += min(len(queue), index if passed else index + 1)
        return ahead + 1

    def release(self, turn: Turn) -> None:
        """Take a turn out; turns call this."""
        if turn.granted:
            self._free += 1
            for counter, key in ((self._by_group, turn.group), (self._by_requester, turn.requester)):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
            self._give_turns()
        else:
            self._waiting[turn.group].remove(turn)
            if not self._waiting[turn.group]:
                del self._waiting[turn.group]

    def _give_turns(self) -> None:
        while self._free and (turn := self._next()) is not None:
            queue = self._waiting[turn.group]
            queue.remove(turn)
            if queue:
                self._waiting.move_to_end(turn.group)
            else:
                del self._waiting[turn.group]
            self._free -= 1
            self._by_group[turn.group] += 1
            self._by_requester[turn.requester] += 1
            turn.grant()

    def _next(self) -> Turn | None:
        """Find the first that waits and whose group and requester hold less than their shares."""
        for group, queue in self._waiting.items():
            if self._by_group[group] < self._per_group:
                for turn in queue:
                    if self._by_requester[turn.requester] < self._per_requester:
                        return turn
        return None
