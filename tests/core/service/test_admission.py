"""Who may ask now: shares, cooldowns and turns."""

import asyncio
from collections.abc import Sequence

import pytest

from core.errors import ErrorCode, GenreGenieError
from core.service.admission import FETCH_AHEAD, LINK_SLOTS, Admission, AdmissionLimits, Ticket
from core.service.slots import FairSlots


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def run_all(tickets: Sequence[Ticket], order: list[object]) -> None:
    async def run(ticket: Ticket) -> None:
        async with ticket:
            order.append(ticket.group)
            await asyncio.sleep(0)

    await asyncio.gather(*(run(ticket) for ticket in tickets))


async def test_turns_go_round_between_groups() -> None:
    admission = Admission(AdmissionLimits(per_requester=99), slots=1)
    greedy = [admission.admit("a", "greedy")[0] for _ in range(20)]
    small = [admission.admit("b", "small")[0] for _ in range(2)]
    order: list[object] = []
    await run_all([*greedy, *small], order)
    assert order[:5] == ["greedy", "greedy", "small", "greedy", "small"]
    assert len(order) == 22
    assert (admission.jobs, admission.waiting, admission.running) == (0, 0, 0)


async def test_place_counts_the_jobs_that_start_before() -> None:
    admission = Admission(AdmissionLimits(), slots=1)
    running = admission.admit("a", 1)[0]
    first, second = admission.admit("a", 1, jobs=2)
    other = admission.admit("b", 2)[0]
    assert [ticket.place for ticket in (running, first, other, second)] == [0, 1, 2, 3]
    order: list[object] = []
    await run_all([running, first, second, other], order)
    assert order == [1, 1, 2, 1]


async def test_no_more_jobs_run_than_there_are_slots() -> None:
    admission = Admission(AdmissionLimits(), slots=2)
    most = 0

    async def run(ticket: Ticket) -> None:
        nonlocal most
        async with ticket:
            most = max(most, admission.running)
            await asyncio.sleep(0)

    await asyncio.gather(*(run(admission.admit(n, n)[0]) for n in range(10)))
    assert most == 2


@pytest.mark.parametrize(
    "limits",
    [AdmissionLimits(total=3), AdmissionLimits(per_group=3), AdmissionLimits(per_requester=3)],
    ids=["all", "group", "requester"],
)
async def test_a_full_share_is_busy_and_says_when_to_try_again(limits: AdmissionLimits) -> None:
    admission = Admission(limits, slots=1)
    tickets = [admission.admit("a", "g")[0] for _ in range(3)]
    with pytest.raises(GenreGenieError) as refused:
        admission.admit("a", "g")
    assert refused.value.code is ErrorCode.BUSY
    assert refused.value.params["retry_after"] >= 1
    tickets[-1].leave()
    assert admission.admit("a", "g")


async def test_one_full_group_leaves_room_for_another() -> None:
    admission = Admission(AdmissionLimits(per_group=1), slots=1)
    admission.admit("a", "full")
    with pytest.raises(GenreGenieError):
        admission.admit("b", "full")
    assert admission.admit("b", "other")


async def test_a_request_of_many_songs_gets_as_many_places_as_there_are() -> None:
    admission = Admission(AdmissionLimits(per_group=4, cooldown_s=10), slots=1)
    assert len(admission.admit("a", "g", jobs=10)) == 4


async def test_cooldown_counts_from_the_last_request_in_the_same_group() -> None:
    clock = Clock()
    admission = Admission(AdmissionLimits(cooldown_s=10), slots=1, clock=clock)
    admission.admit("a", "g")[0].leave()
    clock.now += 4
    with pytest.raises(GenreGenieError) as refused:
        admission.admit("a", "g")
    assert (refused.value.code, refused.value.params["retry_after"]) == (ErrorCode.COOLDOWN, 6)
    admission.admit("b", "g")
    admission.admit("a", "elsewhere")
    clock.now += 6
    assert admission.admit("a", "g")


def test_a_groups_own_limits_only_tighten() -> None:
    host = AdmissionLimits(per_group=64, cooldown_s=5)
    assert host.tightened(10, 60) == AdmissionLimits(per_group=10, cooldown_s=60)
    assert host.tightened(1000, 0) == host
    assert host.tightened(None, None) == host


async def test_a_job_cancelled_while_it_waits_frees_its_place() -> None:
    admission = Admission(AdmissionLimits(total=2), slots=1)
    running = admission.admit("a", "g")[0]
    waiting = admission.admit("a", "g")[0]
    order: list[object] = []
    task = asyncio.create_task(run_all([waiting], order))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (admission.jobs, admission.waiting) == (1, 0)
    running.leave()
    assert admission.running == 0


async def test_a_job_cancelled_in_the_moment_of_its_turn_gives_the_slot_back() -> None:
    admission = Admission(AdmissionLimits(), slots=1)
    running = admission.admit("a", "g")[0]
    waiting = admission.admit("a", "g")[0]
    order: list[object] = []
    task = asyncio.create_task(run_all([waiting], order))
    await asyncio.sleep(0.01)
    task.cancel()
    running.leave()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (order, admission.jobs, admission.running) == ([], 0, 0)


async def test_a_job_that_fails_frees_its_place() -> None:
    admission = Admission(AdmissionLimits(), slots=1)
    with pytest.raises(RuntimeError):
        async with admission.admit("a", "g")[0]:
            raise RuntimeError
    assert (admission.jobs, admission.running) == (0, 0)


async def test_the_time_to_try_again_follows_how_long_jobs_take() -> None:
    clock = Clock()
    admission = Admission(AdmissionLimits(total=1, per_requester=99), slots=1, clock=clock)

    async def busy_retry() -> float:
        ticket = admission.admit("a", "g")[0]
        with pytest.raises(GenreGenieError) as refused:
            admission.admit("a", "g")
        async with ticket:
            clock.now += 60
        return float(refused.value.params["retry_after"])

    first = await busy_retry()
    for _ in range(30):
        last = await busy_retry()
    assert first < last <= 60


async def let_tasks_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def start(ticket: Ticket, *, classify: bool = False) -> None:
    """Take a job's turn, and a worker's if it is to be classified, and keep them."""
    await ticket.__aenter__()
    if classify:
        await ticket.classifying()


async def test_links_of_one_member_leave_room_for_another_members_and_for_files() -> None:
    admission = Admission.for_workers(AdmissionLimits(), workers=1)
    attack = [asyncio.create_task(start(t)) for t in admission.admit("a", 1, jobs=16, links=True)]
    await let_tasks_run()
    assert sum(task.done() for task in attack) == LINK_SLOTS // 2
    await start(admission.admit("b", 2, links=True)[0])
    await start(admission.admit("c", 2)[0], classify=True)
    for task in attack:
        task.cancel()
    await asyncio.gather(*attack, return_exceptions=True)


async def test_links_of_one_group_leave_room_for_another_groups() -> None:
    admission = Admission.for_workers(AdmissionLimits(), workers=1)
    attack = [asyncio.create_task(start(admission.admit(n, 1, links=True)[0])) for n in range(16)]
    await let_tasks_run()
    assert sum(task.done() for task in attack) == LINK_SLOTS - 1
    await start(admission.admit("b", 2, links=True)[0])
    for task in attack:
        task.cancel()
    await asyncio.gather(*attack, return_exceptions=True)


async def test_links_of_however_many_groups_hold_up_no_file() -> None:
    admission = Admission.for_workers(AdmissionLimits(), workers=1)
    attack = [asyncio.create_task(start(admission.admit(n, n, links=True)[0])) for n in range(64)]
    await let_tasks_run()
    assert sum(task.done() for task in attack) == LINK_SLOTS
    await start(admission.admit("b", "b")[0], classify=True)
    for task in attack:
        task.cancel()
    await asyncio.gather(*attack, return_exceptions=True)


async def test_a_worker_goes_to_the_groups_in_turn() -> None:
    admission = Admission.for_workers(AdmissionLimits(), workers=1)
    order: list[object] = []

    async def run(ticket: Ticket) -> None:
        async with ticket:
            await ticket.classifying()
            order.append(ticket.group)
            await asyncio.sleep(0.01)

    many = [ticket for member in "abcdef" for ticket in admission.admit(member, "many")]
    few = admission.admit("z", "few", jobs=2)
    await asyncio.gather(*(run(ticket) for ticket in [*many, *few]))
    assert order[:4] in (["many", "few", "many", "few"], ["many", "many", "few", "many"])
    assert (admission.jobs, admission.waiting, admission.running) == (0, 0, 0)


async def test_faces_that_share_workers_take_them_in_turn_however_much_is_asked_of_one() -> None:
    turns = FairSlots(1)
    visitors = Admission.for_workers(AdmissionLimits(), workers=1, shared=turns, face="page")
    members = Admission.for_workers(AdmissionLimits(), workers=1, shared=turns, face="bot")
    order: list[object] = []

    async def run(admission: Admission, requester: str) -> None:
        (ticket,) = admission.admit(requester, requester)
        async with ticket:
            await ticket.classifying()
            order.append(admission.face)
            await asyncio.sleep(0.01)

    many = [run(visitors, f"visitor {n}") for n in range(20)]
    await asyncio.gather(*many, run(members, "a"), run(members, "b"))
    assert order[:5] == ["page", "bot", "page", "bot", "page"]
    assert (visitors.jobs, members.jobs, turns.waiting) == (0, 0, 0)


async def test_faces_that_share_workers_fetch_as_many_links_together_as_one_alone() -> None:
    faces = [Admission.for_workers(AdmissionLimits(), 1, shared=FairSlots(1), face=face) for face in ("page", "bot")]
    attack = [asyncio.create_task(start(face.admit(n, n, links=True)[0])) for face in faces for n in range(8)]
    await let_tasks_run()
    assert sum(task.done() for task in attack) == LINK_SLOTS
    for task in attack:
        task.cancel()
    await asyncio.gather(*attack, return_exceptions=True)


async def test_one_member_never_has_all_of_several_workers() -> None:
    admission = Admission.for_workers(AdmissionLimits(), workers=4)
    greedy = [asyncio.create_task(start(t, classify=True)) for t in admission.admit("a", 1, jobs=16)]
    await let_tasks_run()
    assert sum(task.done() for task in greedy) == 3
    await start(admission.admit("b", 1)[0], classify=True)
    for task in greedy:
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_fetching_waits_while_what_it_has_fetched_does() -> None:
    admission = Admission.for_workers(AdmissionLimits(), workers=1)
    await start(admission.admit("z", 0)[0], classify=True)
    fetched = [asyncio.create_task(start(admission.admit(n, n)[0], classify=True)) for n in range(8)]
    await let_tasks_run()
    assert (admission.running, admission.waiting) == (1 + 1 + FETCH_AHEAD, 8 - 1 - FETCH_AHEAD)
    for task in fetched:
        task.cancel()
    await asyncio.gather(*fetched, return_exceptions=True)


async def test_a_job_that_leaves_while_it_waits_for_a_worker_holds_nothing() -> None:
    admission = Admission.for_workers(AdmissionLimits(), workers=1)
    holder, waiter = admission.admit("a", 1)[0], admission.admit("b", 2)[0]
    await start(holder, classify=True)

    async def run() -> None:
        async with waiter:
            await waiter.classifying()

    task = asyncio.create_task(run())
    await let_tasks_run()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    holder.leave()
    assert (admission.jobs, admission.running) == (0, 0)
    for number in range(1 + FETCH_AHEAD):
        await start(admission.admit(number, number)[0], classify=number == 0)
