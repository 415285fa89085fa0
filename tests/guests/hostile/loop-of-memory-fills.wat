;; Fills 512 MiB for ever, with instructions that take long and have no loop that
;; the engine could interrupt. The deadline must end it, soon after it has passed.
;; ends: train OutOfMemory
(func $before_training (param $args i32) (param $n_args i32)
  (call $reserve (i32.const 0x20000000))
  (loop $again
    (memory.fill (i32.const 65536) (i32.const 1) (i32.sub (i32.const 0x20000000) (i32.const 65536)))
    (br $again)))
