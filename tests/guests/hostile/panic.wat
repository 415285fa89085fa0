;; Panics as Rust does: a line of level error, then a trap. Must be a panic with
;; that line, and without the control characters in it.
;; ends: train Panicked
(data $message (i32.const 4096) "panicked at hostile.rs:1:1: \1b[31mred\0aand a second line")
(func $before_training (param $args i32) (param $n_args i32)
  (call $monitor_log (i32.const 3) (i32.const 4096) (i32.const 54))
  unreachable)
