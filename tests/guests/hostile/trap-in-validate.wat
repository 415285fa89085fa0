;; Traps in `validate`. Must be a panic.
;; ends: evaluate Panicked
(func $validate (param $args i32) (param $n_args i32) (result i32)
  unreachable)
