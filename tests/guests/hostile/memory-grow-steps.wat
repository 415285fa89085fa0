;; Grows its memory page by page until it is refused, asks 1,000 times more, and
;; ends as an allocator without memory does. Must be told that it ran out of memory.
;; ends: train OutOfMemory
(func $before_training (param $args i32) (param $n_args i32)
  (local $n i32)
  (call $grow_all)
  (loop $again
    (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (return)))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))
  unreachable)
(func $grow_all
  (loop $again
    (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))))
