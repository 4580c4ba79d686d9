"""The frames of complete clips."""

from frame_events import make_events, run, stream

from stdl_events.frames import clips


def cut_clips(t_us: list[int], steps: int = 3) -> tuple[list, int]:
    spec = stream(steps=steps, dt_us=10)
    maker = clips(run(make_events(t_us), spec), spec)
    found = [
        (clip.index, clip.t_start_us, clip.t_end_us, clip.frames_TCHW.sum(axis=(1, 2, 3)).tolist()) for clip in maker
    ]
    return found, maker.incomplete


def test_clips_are_complete_and_on_the_grid():
    # first event in clip 0's first frame, last event in clip 1's last frame
    assert cut_clips([9, 12, 59]) == ([(0, 0, 30, [1, 1, 0]), (1, 30, 60, [0, 0, 1])], 0)
    # one window later at the start, one earlier at the end
    assert cut_clips([10, 12, 49]) == ([], 2)
    assert cut_clips([-1, 30, 60]) == ([(0, 0, 30, [0, 0, 0]), (1, 30, 60, [1, 0, 0])], 2)
    assert cut_clips([]) == ([], 0)
    assert cut_clips([5, 15], steps=1) == ([(0, 0, 10, [1]), (1, 10, 20, [1])], 0)


def test_a_clip_that_lost_a_frame_is_left_out_and_counted_once():
    spec = stream(steps=3, dt_us=10)
    frames = run(make_events([0, 119]), spec)
    assert [clip.index for clip in clips(frames, spec)] == [0, 1, 2, 3]
    for lost, kept in ((3, [0, 2, 3]), (4, [0, 2, 3]), (5, [0, 2, 3])):
        maker = clips([frame for frame in frames if frame.index != lost], spec)
        assert [clip.index for clip in maker] == kept
        assert maker.incomplete == 1
