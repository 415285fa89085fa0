;; Grows a table in steps of 1,000 elements until it is refused, then ends as an
;; allocator without memory does. Must be told that it ran out of memory.
;; ends: train OutOfMemory
(table $grows 1 funcref)
(func $before_training (param $args i32) (param $n_args i32)
  (loop $again
    (br_if $again
      (i32.ne (table.grow $grows (ref.null func) (i32.const 1000)) (i32.const -1))))
  unreachable)
