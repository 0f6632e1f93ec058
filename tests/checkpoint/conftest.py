"""Published models by the recordings of their names and shapes."""

# Recording -> the published model of the same format and architecture.
RECORDED = {
    "original_solo_r50_fpn_1x_coco": "original/solo_R50_1x",
    "original_decoupled-solo_r50_fpn_1x_coco": "original/decoupled_solo_R50_1x",
    "original_decoupled-solo-light_r50_fpn_3x_coco": "original/decoupled_solo_light_R50_3x",
    "original_solov2_r50_fpn_1x_coco": "original/solov2_R50_1x",
    "original_solov2_r101_fpn_ms-3x_coco": "original/solov2_R101_3x",
    "original_solov2-light_r18_fpn_ms-3x_coco": "original/solov2_light_448_R18_3x",
    "original_solov2-light_r50_fpn_ms-3x_coco": "original/solov2_light_448_R50_3x",
    "mmdet3_solo_r50_fpn_1x_coco": "mmdet/solo_R50_1x",
    "mmdet3_decoupled-solo_r50_fpn_1x_coco": "mmdet/decoupled_solo_R50_1x",
    "mmdet3_decoupled-solo-light_r50_fpn_3x_coco": "mmdet/decoupled_solo_light_R50_3x",
    "mmdet3_solov2_r50_fpn_1x_coco": "mmdet/solov2_R50_1x",
    "mmdet3_solov2_r101_fpn_ms-3x_coco": "mmdet/solov2_R101_3x",
    "mmdet3_solov2-light_r18_fpn_ms-3x_coco": "mmdet/solov2_light_448_R18_3x",
    "mmdet3_solov2-light_r50_fpn_ms-3x_coco": "mmdet/solov2_light_448_R50_3x",
    "adelaidet_solov2_r50": "adelaidet/solov2_R50_3x",
    "adelaidet_condinst_r50": "adelaidet/condinst_R50_3x",
    "mmdet3_condinst_r50_fpn_ms-poly-90k_coco_instance": "mmdet/condinst_R50_1x",
}
