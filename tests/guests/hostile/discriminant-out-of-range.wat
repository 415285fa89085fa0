;; Returns from `train` neither ok nor error, but 7. Must crash.
;; ends: train Crashed
(func $report (result i32)
  (i32.store8 (i32.const 16) (i32.const 7))
  (i32.const 16))
