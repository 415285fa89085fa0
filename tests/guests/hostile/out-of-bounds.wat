;; Reads at the last address of 4 GiB. Must crash.
;; ends: train Crashed
(func $before_training (param $args i32) (param $n_args i32)
  (drop (i32.load offset=0xffffffff (i32.const -1))))
