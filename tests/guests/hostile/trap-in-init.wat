;; Traps in `init`. Must be a panic.
;; ends: init Panicked
(func $init (param $args i32) (param $n_args i32) (result i32)
  unreachable)
