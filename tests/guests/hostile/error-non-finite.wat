;; Says that training left the range of finite numbers. Must be that fault.
;; ends: train NotFinite
(data $reason (i32.const 4096) "w is NaN")
(func $train (param $args i32) (param $n_args i32) (result i32)
  (call $fail_report (i32.const 3) (i32.const 4096) (i32.const 8)))
