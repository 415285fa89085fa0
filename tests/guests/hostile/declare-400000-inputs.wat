;; Declares 400,000 inputs, all the same. Must be refused: there is one input.
;; ends: declare LimitExceeded
(func $inputs (param $at i32)
  (local $list i32)
  (local $n i32)
  (local.set $list (call $zeros (i32.const 8000000)))
  (loop $again
    (call $data_spec (i32.add (local.get $list) (i32.mul (local.get $n) (i32.const 20)))
      (i32.const 1040) (i32.const 6) (i32.const 8) (i32.const 192) (i32.const 1))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 400000))))
  (call $put (local.get $at) (local.get $list) (i32.const 400000)))
